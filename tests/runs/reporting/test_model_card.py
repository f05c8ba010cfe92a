"""MODEL.md says what its numbers are of, and has them."""

from vae_jax.runs.factors.outcome import over_seeds
from vae_jax.runs.reporting.model_card import model_card

CONFIG = {"experiment": "vae", "data": "digits", "seed": 0}


def numbers_of(summary):
    """The lines of the section, without empty ones."""
    text = model_card("VAE", "A model.", CONFIG, summary, "vae-jax train vae")
    section = text.split("## Numbers\n")[1].split("## Use it")[0]
    return [line for line in section.splitlines() if line]


def test_the_numbers_of_one_model_are_those_of_its_test_images():
    assert numbers_of({"test_images": 500, "negative_elbo": 101.256, "mig": 0.12345}) == [
        "Measured on the 500 test images.",
        "| number | value |",
        "|---|---|",
        "| negative ELBO, nats per image | 101.26 |",
        "| mutual information gap (MIG) | 0.123 |",
    ]
    models = [{"seed": 0}, {"seed": 1}]
    said = numbers_of({"test_images": 500, "negative_elbo": 101.0, "models": models})[0]
    assert said == (
        "Measured on the 500 test images. Each number is the mean over 2 models; summary.json has the numbers of each "
        "model."
    )


def test_the_program_uses_the_files_of_the_format():
    cards = {f: model_card("VAE", "", CONFIG, {}, "", f) for f in ("safetensors", "onnx", "stablehlo")}
    assert 'vae_jax.load("RUN")' in cards["safetensors"] and "random.key(0))" in cards["safetensors"]
    assert 'InferenceSession("encoder.onnx")' in cards["onnx"] and '{"x": images}' in cards["onnx"]
    assert 'Path("encoder.stablehlo")' in cards["stablehlo"] and "call(images)" in cards["stablehlo"]
    labeled = model_card("VAE", "", CONFIG | {"condition": "labels"}, {}, "", "onnx")
    assert '{"x": images, "label": labels}' in labeled


def test_a_likelihood_that_is_not_to_be_trusted_is_said_to_be_none():
    warned = {"nll": 90.0, "nll_warning": "97 % have weights with too heavy a tail", "ais_warning": None}
    assert numbers_of(warned)[-1] == "Caution: 97 % have weights with too heavy a tail."
    assert "Caution" not in "".join(numbers_of({**warned, "nll_warning": None}))


def test_of_models_with_different_weights_each_weight_has_its_medians():
    records = [
        {"beta": 1.0, "seed": 0, "mig": 0.1, "sap": 0.02, "negative_elbo": 20.0},
        {"beta": 1.0, "seed": 1, "mig": 0.3, "sap": 0.04, "negative_elbo": 22.0},
        {"beta": 1.0, "seed": 2, "mig": 0.2, "sap": None, "negative_elbo": 24.0},
        {"beta": 4.0, "seed": 0, "mig": 0.5, "sap": None, "negative_elbo": 31.0},
    ]
    assert numbers_of({"models": records, "over_seeds": over_seeds(records)}) == [
        "Each number is the median over the seeds of a weight (4 models in all).",
        "| number | weight 1 | weight 4 |",
        "|---|---|---|",
        "| negative ELBO, nats per image | 22.00 | 31.00 |",
        "| mutual information gap (MIG) | 0.200 | 0.500 |",
        "| separated attribute predictability (SAP) | 0.030 |  |",
    ]
