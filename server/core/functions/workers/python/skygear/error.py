"""The errors that functions raise for their callers. The numbers are the wire's."""

NotAuthenticated = 101
PermissionDenied = 102
AccessKeyNotAccepted = 103
AccessTokenNotAccepted = 104
InvalidCredentials = 105
InvalidSignature = 106
BadRequest = 107
InvalidArgument = 108
Duplicated = 109
ResourceNotFound = 110
NotSupported = 111
NotImplemented = 112
ConstraintViolated = 113
IncompatibleSchema = 114
AtomicOperationFailure = 115
PartialOperationFailure = 116
UndefinedOperation = 117
PluginUnavailable = 118
PluginTimeout = 119
RecordQueryInvalid = 120
PluginInitializing = 121
ResponseTimeout = 122
DeniedArgument = 123
RecordQueryDenied = 124
NotConfigured = 125
PasswordPolicyViolated = 126
UserDisabled = 127
VerificationRequired = 128
UnexpectedError = 10000

_READABLE = {
    (NotAuthenticated,): "Log in first.",
    (PermissionDenied, AccessKeyNotAccepted, AccessTokenNotAccepted): "You are not allowed to do this.",
    (InvalidCredentials,): "The name or the password is wrong.",
    (InvalidSignature, BadRequest): "The request cannot be understood.",
    (InvalidArgument,): "Something in the request is wrong.",
    (Duplicated,): "This exists already.",
    (ResourceNotFound,): "This does not exist.",
    (NotSupported, NotImplemented, UndefinedOperation): "This cannot be done here.",
    (PluginInitializing, PluginUnavailable): "The server is not ready yet.",
    (PluginTimeout, ResponseTimeout): "The server took too long.",
}


class SkygearException(Exception):
    """A failure that the caller sees, with a code of the wire or of the app's own."""

    def __init__(self, message, code=UnexpectedError, info=None):
        super().__init__(message)
        self.message = message
        self.code = code
        self.info = info or {}

    def as_dict(self):
        return {"message": self.message, "code": self.code, "info": self.info}

    def readable_message(self):
        """A sentence for people."""
        for codes, text in _READABLE.items():
            if self.code in codes:
                return text
        return "Something went wrong."

    @classmethod
    def from_dict(cls, error):
        return cls(error.get("message", "An error has occurred."), error.get("code", UnexpectedError), error.get("info", {}))
