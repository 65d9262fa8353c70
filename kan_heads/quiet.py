"""Keeps what other libraries say about their own work from the user's screen."""

import contextlib
import logging
import warnings
from typing import Iterator


@contextlib.contextmanager
def quiet(level: int) -> Iterator[None]:
    """Silences Python warnings and log messages while it lasts.

    Args:
        level: messages of this level and below are left out, e.g. ``logging.INFO``.
    """
    previous = logging.root.manager.disable
    logging.disable(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
