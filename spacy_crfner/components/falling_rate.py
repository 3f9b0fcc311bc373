"""A learning rate that falls to 0 with another update than the last."""

import warnings

from spacy.language import Language

FALLING = "warmup_linear.v1"


def check_falling_rate(nlp: Language) -> None:
    """Warn where the config of a pipeline lets the learning rate fall to 0 with another update than the last one.

    Somebody has changed one of two numbers: total_steps of the schedule, and max_steps of the training.
    """
    training = nlp.config.interpolate().get("training", {})
    rate, last = training.get("optimizer", {}).get("learn_rate"), training.get("max_steps")
    if not isinstance(rate, dict) or rate.get("@schedules") != FALLING or not last or rate.get("total_steps") == last:
        return
    warnings.warn(
        f"The learning rate falls to 0 with update {rate.get('total_steps')} ([training.optimizer.learn_rate] "
        f"total_steps), but training may last until update {last} ([training] max_steps): give both the same number.",
        UserWarning,
        stacklevel=3,
    )
