// The order page says everything without this script. It shows times in the reader's zone, offers the
// printer, and asks how a payment that is not decided yet stands, instead of loading the page again.
const SECONDS = [1, 2, 3, 5]; // between two questions; then every 5 s, until LIMIT_MS have passed
const LIMIT_MS = 120000;

for (const time of document.querySelectorAll('time[datetime]')) {
  time.textContent = new Intl.DateTimeFormat(undefined, {dateStyle: 'long', timeStyle: 'short'}).format(new Date(time.dateTime));
}

const print = document.getElementById('print');
if (print) {
  print.hidden = false;
  print.addEventListener('click', () => window.print());
}

const watch = document.getElementById('watch');
let tries = 0;
let timer = 0;
const since = Date.now();

function later() {
  clearTimeout(timer);
  if (!navigator.onLine) {
    watch.textContent = 'You are offline. This page asks again as soon as you are connected.';
    return;
  }
  if (Date.now() - since > LIMIT_MS) {
    watch.textContent = 'There is no answer yet. This page stays valid: keep its address and look again later.';
    return;
  }
  timer = setTimeout(look, SECONDS[Math.min(tries++, SECONDS.length - 1)] * 1000);
}

async function look() {
  try {
    const response = await fetch(watch.dataset.path, {cache: 'no-store', signal: AbortSignal.timeout(15000)});
    if (response.ok) {
      const order = await response.json();
      if (order.status !== watch.dataset.status) {
        location.reload();
        return;
      }
    }
    watch.textContent = 'Not confirmed yet. This page asks again by itself.';
  } catch {
    watch.textContent = 'The shop does not answer. This page asks again by itself.';
  }
  later();
}

if (watch) {
  later();
  window.addEventListener('online', later);
  window.addEventListener('offline', later);
}
