"""What can go wrong between us and an upstream."""


class Fault(Exception):
    """An exchange that failed. Its text says how, after "upstream 'x': "."""


class NotConnected(Fault):
    """There is no connection: nothing was sent."""


class Broken(Fault):
    """A connection that ended, or an answer that cannot be read: the upstream may have worked on the request."""


class Closing(Broken):
    """A kept connection turned out to be closed just as a request went out on it: its peer, most likely, did not read
    the request, and had no time to do much for it if it did."""
