"""A run that dies in the middle."""

from __future__ import annotations


class Killed(BaseException):
    """As of the operating system: nothing that handles errors may catch it."""


class Dies:
    """An observer that does not outlive an epoch."""

    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, epoch, terms):
        if epoch == self.after:
            raise Killed
