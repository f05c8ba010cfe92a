import numpy as np

from vae_jax.training._history import best_epoch, best_loss, is_finished


def row(loss, warm_up=None, train=0.0, epoch=1):
    extra = {} if warm_up is None else {"warm_up": warm_up}
    return {"epoch": epoch, "train/loss": train, "validation/loss": loss, **extra}


def test_the_best_epoch_is_of_finite_losses_since_the_warm_up():
    assert (best_epoch(()), best_loss(())) == (0, np.inf)
    history = [row(1.0, 1.0, epoch=1), row(2.0, 1.0, epoch=2)]
    assert (best_epoch(history), best_loss(history)) == (2, np.inf)
    history += [row(5.0, 0.0, epoch=3), row(4.0, 0.0, epoch=4), row(6.0, 0.0, epoch=5)]
    assert (best_epoch(history), best_loss(history)) == (4, 4.0)
    history += [row(float("nan"), 0.0, epoch=6)]
    assert (best_epoch(history), best_loss(history)) == (4, 4.0)
    history[-1] = row(1.0, 0.0, train=float("inf"), epoch=6)
    assert (best_epoch(history), best_loss(history)) == (4, 4.0)


def test_a_history_is_finished_by_epochs_by_patience_or_by_a_loss_that_is_not_finite():
    history = [row(3.0, epoch=1), row(2.0, epoch=2), row(4.0, epoch=3)]
    assert [is_finished(history, epochs, None) for epochs in (2, 3, 4)] == [True, True, False]
    assert [is_finished(history, 9, patience) for patience in (1, 2)] == [True, False]
    assert is_finished([row(float("inf"))], 9, None)
    assert not is_finished((), 9, 1)
