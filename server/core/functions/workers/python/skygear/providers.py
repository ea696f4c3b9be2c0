"""What a provider of identities is."""


class BaseAuthProvider:
    """Answers the three questions about an identity; write the methods in a subclass."""

    def handle_action(self, action, data):
        if action not in ("login", "logout", "info"):
            raise ValueError("a provider has no action %r" % action)
        return getattr(self, action)(data.get("auth_data", {}))

    def login(self, auth_data):
        raise NotImplementedError("this provider has no login")

    def logout(self, auth_data):
        raise NotImplementedError("this provider has no logout")

    def info(self, auth_data):
        raise NotImplementedError("this provider has no info")
