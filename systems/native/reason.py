"""What stops the way to machine code."""


class NotNative(Exception):
    """Why there is no machine code, as the end of the sentence "without machine code, because of ...".

    Example:
        >>> print(NotNative("a state on cuda:0"))
        a state on cuda:0
    """


class TooMany(NotNative):
    """More operations than are written out one by one: torch.compile, which has loops over bodies, may take them.

    Example:
        >>> isinstance(TooMany("more than 6000 operations"), NotNative)
        True
    """
