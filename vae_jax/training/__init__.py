"""Training as pure functions; `vae_jax.training.checkpoints`, which needs orbax, is imported by name."""

from vae_jax.memory import DoesNotFit as DoesNotFit
from vae_jax.training._divergence import Diverged as Diverged
from vae_jax.training._divergence import Divergence as Divergence
from vae_jax.training._ensemble import EnsembleProgress as EnsembleProgress
from vae_jax.training._ensemble import fit_ensemble as fit_ensemble
from vae_jax.training._ensemble import over_models as over_models
from vae_jax.training._epoch import make_evaluate as make_evaluate
from vae_jax.training._epoch import make_train_epoch as make_train_epoch
from vae_jax.training._epoch import steps_per_epoch as steps_per_epoch
from vae_jax.training._examples import Examples as Examples
from vae_jax.training._examples import drawn as drawn
from vae_jax.training._examples import permuted as permuted
from vae_jax.training._examples import rows as rows
from vae_jax.training._fit import fit as fit
from vae_jax.training._history import History as History
from vae_jax.training._history import Progress as Progress
from vae_jax.training._history import Row as Row
from vae_jax.training._history import best_epoch as best_epoch
from vae_jax.training._partitioned import partitioned as partitioned
from vae_jax.training._step import Trainable as Trainable
from vae_jax.training._step import TrainState as TrainState
from vae_jax.training._step import init_train_state as init_train_state
from vae_jax.training._step import make_train_step as make_train_step
from vae_jax.training._stream import BatchStream as BatchStream
from vae_jax.training._stream import fit_stream as fit_stream
from vae_jax.training._stream import make_train_stream_epoch as make_train_stream_epoch
