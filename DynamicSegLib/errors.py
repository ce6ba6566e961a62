"""The errors a user can meet. Each message says what failed, the value, what was expected, and what to do next."""


class DynamicSegError(Exception):
    """Base of every error caused by input, bundle, budget or configuration; the command line ends with code 2."""


class InputError(DynamicSegError):
    """A volume, mask or case folder cannot be used as it is."""


class BundleError(DynamicSegError):
    """A bundle is missing, damaged, of an unknown format, or does not fit its networks."""


class BudgetError(DynamicSegError):
    """A budget cannot be read, or is below the smallest possible one."""


class BackendError(DynamicSegError):
    """A device or backend was asked for that this machine does not have."""


class TrainingError(DynamicSegError):
    """A training run cannot start or go on: configuration, data, disk or memory."""


class CancelledError(DynamicSegError):
    """The user stopped the run; nothing was written."""
