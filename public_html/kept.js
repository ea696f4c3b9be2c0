// What this tab remembers over a reload: JSON in sessionStorage.
const memory = new Map(); // stands in where the browser forbids storage

export function read(name) {
  try {
    const text = sessionStorage.getItem(name);
    return text ? JSON.parse(text) : null;
  } catch {
    return memory.get(name) || null;
  }
}

// write keeps a value; null forgets it.
export function write(name, value) {
  memory.set(name, value);
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, JSON.stringify(value));
  } catch { /* memory holds it, for as long as the page lives */ }
}

// uuid works on plain http too, where crypto.randomUUID does not exist.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
