// The drawings of the bags: our own, by product id. An unknown product gets the plain bag.

const MOTIFS = {
  // Kenya: the sun over a flat-topped tree.
  'kenya-aa': {paper: '#b4442c', shade: '#8c2f1d', ink: '#fff1df', motif: `
    <circle cx="80" cy="117" r="23"/><path d="M44 147h72" stroke-width="4"/>
    <g fill="#5e1c0f" stroke="#5e1c0f"><path d="M82 146c-2-12-1-18-2-22M80 130l-14-13M81 127l15-12" stroke-width="3.5" fill="none"/>
    <path d="M50 118c2-9 14-10 20-9 4-6 20-6 25 0 8-1 16 2 17 9-14 3-48 3-62 0z" stroke="none"/></g>`},
  // Colombia: three ridges of the Andes.
  'colombia': {paper: '#2f6b5b', shade: '#214f43', ink: '#fdf3dc', motif: `
    <path d="M46 142l20-32 11 15 14-25 24 42z"/><path d="M91 100l7 12-7 5-7-5z" fill="#214f43" stroke="none"/><circle cx="56" cy="104" r="6"/>`},
  // Ethiopia: a branch with cherries.
  'ethiopia': {paper: '#d9973a', shade: '#b57621', ink: '#4a2410', motif: `
    <path d="M56 146c8-22 24-40 48-48" fill="none" stroke-width="4"/><path d="M74 118c-16-2-20-12-18-22 12 2 20 9 18 22zM92 105c2 14 12 18 22 16-2-12-10-18-22-16z"/>
    <circle cx="76" cy="134" r="7.5" fill="#a62b1f"/><circle cx="92" cy="128" r="7.5" fill="#a62b1f"/><circle cx="64" cy="124" r="6.5" fill="#a62b1f"/>`},
};

const PLAIN = {paper: '#7c563b', shade: '#5f3f29', ink: '#fbeedd', motif: `
  <ellipse cx="80" cy="122" rx="17" ry="25" transform="rotate(30 80 122)"/>
  <path d="M91 102c-6 12-17 13-14 22 2 7-6 10-9 17" fill="none" stroke-width="3.5" stroke="#5f3f29"/>`};

// bag returns a new drawing of the product's bag. It says nothing that the text beside it does not say.
export function bag(id) {
  const {paper, shade, ink, motif} = Object.hasOwn(MOTIFS, id) ? MOTIFS[id] : PLAIN;
  const holder = document.createElement('template');
  holder.innerHTML = `<svg class="bag" viewBox="0 0 160 200" aria-hidden="true">
    <ellipse cx="80" cy="190" rx="52" ry="7" fill="#000" opacity=".16"/>
    <path d="M34 46h92l8 132c0 7-5 11-12 11H38c-7 0-12-4-12-11z" fill="${paper}"/>
    <path d="M104 46h22l8 132c0 7-5 11-12 11h-12z" fill="${shade}" opacity=".75"/>
    <path d="M36 14h88l2 34H34z" fill="${shade}"/>
    <path d="M32 42h96v9H32z" fill="#e9d3ae"/><path d="M32 42h9v9h-9zM119 42h9v9h-9z" fill="#c7a672"/>
    <path d="M48 66h64" stroke="${ink}" stroke-width="3" stroke-linecap="round"/><path d="M60 75h40" stroke="${ink}" stroke-width="2" stroke-linecap="round" opacity=".8"/>
    <g fill="${ink}" stroke="${ink}" stroke-linecap="round" stroke-linejoin="round" stroke-width="1">${motif}</g>
    <path d="M64 170h32" stroke="${ink}" stroke-width="2.5" stroke-linecap="round" opacity=".8"/>
  </svg>`;
  return holder.content.firstElementChild;
}
