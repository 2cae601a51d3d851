"""What can be wrong with how tokens are configured; apart from them, to be imported at no cost."""

TTL_DEFAULT_S = 300.0


class JwtProblem(ValueError):
    """The options of `--auth-token=jwt,...` make no sense; the text says which."""
