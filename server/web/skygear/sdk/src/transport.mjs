// post sends a request and gives the body of its answer. It rejects with {status, error}: error is the server's, or an
// Error where there is none. timeouts are milliseconds: {response, deadline}, the shorter one counts.
export async function post(url, {headers, body, timeouts}) {
  const limit = Math.min(...[timeouts?.response, timeouts?.deadline].filter(Boolean));
  const abort = new AbortController();
  const timer = Number.isFinite(limit) ? setTimeout(() => abort.abort(), limit) : 0;
  try {
    const response = await fetch(url, {method: 'POST', headers, body, credentials: 'omit', signal: abort.signal});
    return readReply(response, await response.text()); // a body cut off half way is no answer either
  } catch (cause) {
    if ('status' in cause) throw cause;
    throw {status: undefined, error: abort.signal.aborted ? timeoutError(limit) : networkError(cause, url)};
  } finally {
    clearTimeout(timer);
  }
}

function readReply(response, text) {
  let body = {};
  let unreadable = false;
  try {
    body = JSON.parse(text) || {};
  } catch {
    unreadable = text !== '' && /[/+]json\b/.test(response.headers.get('Content-Type') || '');
  }
  if (!response.ok) throw {status: response.status, error: body.error || statusError(response)};
  if (unreadable) {
    throw {status: response.status, error: Object.assign(new Error('Parser is unable to parse the response'), {parse: true})};
  }
  return body;
}

function statusError(response) {
  return Object.assign(new Error(response.statusText || 'Unsuccessful HTTP response'), {status: response.status});
}

function timeoutError(limit) {
  return Object.assign(new Error(`Response timeout of ${limit}ms exceeded`), {timeout: limit, code: 'ECONNABORTED', errno: 'ETIMEDOUT'});
}

function networkError(cause, url) {
  return Object.assign(
    new Error('Request has been terminated: the network is offline, the server cannot be reached, or it does not allow this page.'),
    {crossDomain: true, method: 'POST', url, cause});
}
