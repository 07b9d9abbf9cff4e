"""What stops the way to machine code."""


class NotNative(Exception):
    """Why there is no machine code, as the end of the sentence "without machine code, because of ...".

    Example:
        >>> print(NotNative("a state on cuda:0"))
        a state on cuda:0
    """
