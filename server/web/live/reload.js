// Loads the page again when the app has changed. A hidden page waits until it is looked at.
(() => {
  const version = document.currentScript.dataset.version;
  let events;
  const listen = () => {
    events?.close();
    events = new EventSource('/_dev/reload');
    events.onmessage = (e) => {
      if (e.data === version) return;
      events.close();
      location.reload();
    };
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
    };
  };
  document.addEventListener('visibilitychange', () => (document.hidden ? events?.close() : listen()));
  if (!document.hidden) listen();
})();
