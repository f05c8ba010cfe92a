"""Smallest runs of three recipes that reach every stage, and the folders of their uninterrupted references."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.lib.faults import forked
from experiments.lib.faults.file_events import at_events, hurry, noted, signal_at
from experiments.lib.faults.folder_state import state_of

_FEW = "--data {data} --batch-size 64 --elbo-samples 1 --nll-samples 0"
# Flags of each recipe. Its unfinished run is killed just after this share of the writes of the named file.
RECIPES = {
    "vae": (f"{_FEW} --hidden 8 --latent-dim 2 --epochs 12", "metrics.jsonl", 0.7),
    "vq_vae": (
        f"{_FEW} --channels 4 4 --latent-dim 4 --num-codes 8 --residual-hidden 4 --residual-layers 1 --epochs 6 "
        "--prior-layers 1 --prior-width 8 --prior-heads 2 --prior-epochs 6 --k-means-images 16",
        "prior_0/metrics.jsonl",
        0.7,
    ),
    "disentangle": (
        "--data squares --seeds 1 --betas 4 --steps 20 --score-every 10 --points 100 --batch-size 8 --latent-dim 2 "
        "--no-whole-table --dci-points 100",
        "scores/final-0.json",
        1.0,
    ),
}


class Event(NamedTuple):
    """Event of an uninterrupted run."""

    number: int
    kind: str
    path: str


@dataclass
class Reference:
    """Uninterrupted run of a recipe."""

    recipe: str
    flags: list[str]
    finished: Path
    unfinished: Path
    seconds: float  # processor time
    state: dict[str, Any]
    events: list[Event] = field(default_factory=list)


class Bench:
    """Working folder with the references, and a place for each case."""

    def __init__(self, root: Path):
        self.root = root
        self.references: dict[str, Reference] = {}
        self.scratch = root / "scratch"

    def log(self, name: str = "log") -> Path:
        """Path for stdout and stderr of the next process."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / name

    def fresh(self, source: Path | None = None) -> Path:
        """Path of a run folder that is a copy of `source`, or does not exist if `source` is None."""
        place = self.scratch / "run"
        shutil.rmtree(place, ignore_errors=True)
        if source is not None:
            shutil.copytree(source, place)
        return place

    def train(self, recipe: str, folder: Path, resume: bool | None = None, **how: Any) -> forked.Outcome:
        """Trains in the folder with the recipe's flags, and with --resume if it has a config.json."""
        resume = (folder / "config.json").exists() if resume is None else resume
        arguments = ["train", recipe, *self.references[recipe].flags, "--run-dir", str(folder)]
        inside = how.pop("inside", None)

        def prepared() -> None:
            hurry()
            if inside is not None:
                inside()

        return forked.run([*arguments, *(["--resume"] if resume else [])], self.log(), inside=prepared, **how)

    def prepare(self, recipes: list[str]) -> None:
        """Runs the references that do not exist yet, all at once."""
        data = self.root / "images.npz"
        if not data.exists():
            _write_images(data)
        makers = []
        for recipe in recipes:
            flags, _, _ = RECIPES[recipe]
            place = self.root / "references" / recipe
            arguments = [argument.format(data=data) for argument in flags.split()]
            self.references[recipe] = Reference(recipe, arguments, place / "finished", place / "unfinished", 0.0, {})
            if not (place / "about.json").exists():
                pid = os.fork()
                if pid == 0:
                    self.scratch = self.root / f"scratch-{recipe}"
                    forked.end(partial(self._make, recipe, place))
                makers.append(pid)
        for pid in makers:
            os.waitpid(pid, 0)
        for recipe in recipes:
            path = self.root / "references" / recipe / "about.json"
            if not path.exists():
                raise RuntimeError(f"the reference runs of {recipe} failed")
            about, reference = json.loads(path.read_text()), self.references[recipe]
            reference.seconds, reference.state = about["seconds"], about["state"]
            reference.events = [Event(*event) for event in about["events"]]

    def _make(self, recipe: str, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        reference, run, log = self.references[recipe], self.fresh(), place / "events"
        outcome = self.train(recipe, run, inside=lambda: at_events(run, noted(log)), timeout=1200)
        if outcome.code != 0:
            raise RuntimeError(f"an uninterrupted run of {recipe} must end well: {outcome.code} {outcome.err}")
        events = [line.split("\t") for line in log.read_text().splitlines()]
        reference.events = [Event(int(number), kind, path) for number, kind, path in events]
        reference.state = state_of(run, self.log())
        shutil.copytree(run, reference.finished)
        _, name, share = RECIPES[recipe]
        # A file is written in a group of events with a rename or without: the last event puts it in its place.
        writes = [event.number for event in reference.events if event.path == name]
        kill = signal_at(writes[int(share * (len(writes) - 1))] + 1, signal.SIGKILL)
        run = self.fresh()
        outcome = self.train(recipe, run, inside=partial(at_events, run, kill), timeout=600)
        if outcome.code != -signal.SIGKILL:
            raise RuntimeError(f"the unfinished run of {recipe} must be killed: {outcome.code} {outcome.err}")
        shutil.copytree(run, reference.unfinished)
        reference.seconds = 1.25 * outcome.cpu_seconds  # not of the first run, which also compiled its programs
        about = {"seconds": reference.seconds, "state": reference.state, "events": reference.events}
        (place / "about.json").write_text(json.dumps(about))


def _write_images(path: Path) -> None:
    """Writes noisy 8 x 8 images of four kinds."""
    import numpy as np

    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (4, 8, 8, 1))[rng.integers(0, 4, 400)]
    images = np.clip(kinds + rng.integers(-60, 60, kinds.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, train=images[:300], test=images[300:])
