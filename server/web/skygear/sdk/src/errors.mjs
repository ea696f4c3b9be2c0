// ErrorCodes are the numbers in error.code, by name.
export const ErrorCodes = {
  NotAuthenticated: 101, PermissionDenied: 102, AccessKeyNotAccepted: 103, AccessTokenNotAccepted: 104,
  InvalidCredentials: 105, InvalidSignature: 106, BadRequest: 107, InvalidArgument: 108, Duplicated: 109,
  ResourceNotFound: 110, NotSupported: 111, NotImplemented: 112, ConstraintViolated: 113,
  IncompatibleSchema: 114, AtomicOperationFailure: 115, PartialOperationFailure: 116,
  UndefinedOperation: 117, PluginUnavailable: 118, PluginTimeout: 119, RecordQueryInvalid: 120,
  PluginInitializing: 121, ResponseTimeout: 122, DeniedArgument: 123, RecordQueryDenied: 124,
  NotConfigured: 125, PasswordPolicyViolated: 126, UserDisabled: 127, VerificationRequired: 128,
  AssetSizeTooLarge: 129, UnexpectedError: 10000,
};

// SkygearError is an Error with the server's code and info, for pages that want to throw one or keep one.
export class SkygearError extends Error {
  constructor(message, code = ErrorCodes.UnexpectedError, info = null) {
    super(message);
    this.code = code;
    this.info = info;
  }

  static fromJSON({message, code, info}) {
    return new SkygearError(message, code, info);
  }

  toString() { return 'SkygearError: ' + this.message; }

  toJSON() {
    const name = Object.keys(ErrorCodes).find((key) => ErrorCodes[key] === this.code);
    return {name, code: this.code, message: this.message, ...(this.info && {info: this.info})};
  }
}
