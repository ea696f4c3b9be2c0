// The ES module face of skygear.js: one file, one client, whichever way a page loads it.
import './skygear.js';
export default globalThis.skygear;
