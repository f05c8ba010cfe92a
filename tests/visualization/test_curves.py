import numpy as np
import pytest

from vae_jax.visualization import training_curves


def line(axes, label):
    (found,) = [each for each in axes.get_lines() if each.get_label() == label]
    return found


def full_history(epochs):
    rng = np.random.default_rng(0)
    names = [f"{split}/{metric}" for split in ("train", "validation") for metric in ("elbo", "rate", "distortion")]
    return [{"epoch": epoch} | {name: float(rng.normal(-100, 5)) for name in names} for epoch in range(1, epochs + 1)]


def test_curves_are_the_history_with_the_elbo_negated():
    history = full_history(7)
    objective, rate, distortion = training_curves(history).axes
    epochs = [row["epoch"] for row in history]
    for axes, split, metric, sign in (
        (objective, "train", "elbo", -1),
        (objective, "validation", "elbo", -1),
        (rate, "validation", "rate", 1),
        (distortion, "validation", "distortion", 1),
    ):
        drawn = line(axes, split)
        np.testing.assert_array_equal(drawn.get_xdata(), epochs)
        np.testing.assert_array_equal(drawn.get_ydata(), [sign * row[f"{split}/{metric}"] for row in history])


def test_the_ring_is_at_the_smallest_finite_validation_value_and_says_so():
    values = [110.0, 103.5, 101.25, np.nan, 104.0]
    history = [{"epoch": 10 * i, "train/elbo": -90.0, "validation/elbo": -value} for i, value in enumerate(values)]
    figure = training_curves(history)
    ring = line(figure.axes[0], "best: 101.25 at epoch 20")
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([20.0], [101.25])
    assert "best: 101.25 at epoch 20" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metrics", "titles"),
    [
        (("elbo", "rate", "distortion"), ["Negative ELBO", "Rate (KL)", "Distortion"]),
        (("loss", "distortion"), ["Loss", "Distortion"]),
        (("elbo", "loss"), ["Negative ELBO"]),
        (("distortion",), ["Distortion"]),
        (("rate",), ["Rate (KL)"]),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_panels_are_those_that_the_history_has(metrics, titles, split):
    history = [{"epoch": epoch} | {f"{split}/{metric}": 1.0 / epoch for metric in metrics} for epoch in (1, 2)]
    figure = training_curves(history)
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    for axes in figure.axes:
        line(axes, split)


def test_an_epoch_without_validation_is_left_out_of_the_validation_curve():
    history = [
        {"epoch": epoch, "train/elbo": -1.0} | ({"validation/elbo": -2.0} if epoch % 2 else {}) for epoch in range(6)
    ]
    (axes,) = training_curves(history).axes
    np.testing.assert_array_equal(line(axes, "train").get_xdata(), range(6))
    np.testing.assert_array_equal(line(axes, "validation").get_xdata(), [1, 3, 5])


def test_an_epoch_that_was_not_finite_is_left_out():
    history = [{"epoch": 1, "validation/elbo": -2.0}, {"epoch": 2, "validation/elbo": None}]
    (axes,) = training_curves(history).axes
    np.testing.assert_array_equal(line(axes, "validation").get_xdata(), [1])


def test_a_single_epoch_is_a_visible_point():
    for axes in training_curves(full_history(1)).axes:
        low, high = axes.get_xlim()
        assert low < 1 < high
        assert all(each.get_marker() == "o" for each in axes.get_lines())


def test_a_long_run_is_framed_on_its_later_values_and_names_the_value_above():
    values = 95 + 5 * np.exp(-np.arange(200) / 50) + np.where(np.arange(200) < 2, 450.0, 0.0)
    (axes,) = training_curves([{"epoch": i, "train/elbo": -value} for i, value in enumerate(values)]).axes
    low, high = axes.get_ylim()
    assert low < values.min() and values[10:].max() < high < 110
    assert axes.get_title(loc="right") == "\N{UPWARDS ARROW} 550"
    np.testing.assert_array_equal(line(axes, "train").get_ydata(), values)  # hidden by the frame, not removed


@pytest.mark.parametrize(
    ("history", "message"),
    [([], "history"), ([{"train/elbo": 1.0}], r"history\[0\].*epoch"), ([{"epoch": 1, "x": 2.0}], "history must have")],
)
def test_a_history_with_nothing_to_draw_is_refused(history, message):
    with pytest.raises(ValueError, match=message):
        training_curves(history)
