// Checks that run in Node and in a page. Every failure says what was got and what was wanted.

export class Failed extends Error {}

// text writes a value so that equal values have equal texts: keys sorted, dates and undefined told apart.
export function text(value) {
  if (value === undefined) return 'undefined';
  if (value instanceof Date) return `Date(${value.toISOString()})`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? String(value);
  if (Array.isArray(value)) return `[${Array.from(value, text).join(',')}]`;
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${text(value[key])}`).join(',')}}`;
}

export function same(got, want, what = 'value') {
  if (text(got) !== text(want)) throw new Failed(`${what}: got ${text(got)}, want ${text(want)}`);
}

export function ok(condition, what) {
  if (!condition) throw new Failed(what);
}

// refused waits for a refusal and compares what `want` names: status, code, name, arguments, info.
// A request is refused with {status, error}, a single record with the error itself, an upload of npm's client with
// what its HTTP library throws.
export async function refused(promise, want) {
  let answer;
  try {
    answer = await promise;
  } catch (thrown) {
    if (thrown instanceof Failed) throw thrown;
    const error = thrown.error ?? thrown.response?.body?.error ?? thrown;
    const seen = { status: thrown.status, code: error.code, name: error.name, info: error.info, arguments: error.info?.arguments };
    const got = Object.fromEntries(Object.keys(want).map((key) => [key, seen[key]]));
    if (text(got) !== text(want)) throw new Failed(`refusal: got ${text(got)}, want ${text(want)} (${error.message ?? text(thrown)})`);
    return error;
  }
  throw new Failed(`should have been refused with ${text(want)}, but gave ${text(answer)}`);
}

// throws runs fn, which must throw at once, and compares the message.
export function throws(fn, message) {
  try {
    fn();
  } catch (thrown) {
    if (!thrown.message.includes(message)) throw new Failed(`threw ${thrown.message}, want ${message}`);
    return;
  }
  throw new Failed(`should have thrown ${message}`);
}

// soon waits for a promise that a test cannot do without.
export async function soon(promise, what, limit = 30000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failed(`${what} did not happen within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
