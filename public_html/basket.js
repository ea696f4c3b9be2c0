// The basket: whole bags by product id, kept for this tab. Prices are never kept: they are the server's.
import {read, write} from './kept.js';

const BASKET = 'crema.basket';
export const MOST = 99; // bags of one kind in one order

// whole makes of anything typed a number of bags.
export function whole(value) {
  const bags = Math.trunc(Number(value));
  return bags > 0 ? Math.min(bags, MOST) : 0;
}

// load returns the bags of each product. A tab that has no basket yet starts with one bag of the first.
export function load(products) {
  const kept = read(BASKET);
  return new Map(products.map(({id}, i) => [id, kept ? whole(kept[id]) : Number(i === 0)]));
}

export function keep(basket) {
  write(BASKET, Object.fromEntries(basket));
}

export function empty(products) {
  keep(new Map(products.map(({id}) => [id, 0])));
}

// order puts basket and catalogue together: its lines, the bags in it, the total in minor units, and
// the currency, which is null when the beans are priced in several.
export function order(basket, products) {
  const lines = products.filter(({id}) => basket.get(id) > 0).map((product) => ({product, quantity: basket.get(product.id)}));
  const currencies = new Set(lines.map(({product}) => product.currency));
  return {
    lines,
    bags: lines.reduce((sum, {quantity}) => sum + quantity, 0),
    total: lines.reduce((sum, {product, quantity}) => sum + quantity * product.unit_amount, 0),
    currency: currencies.size === 1 ? lines[0].product.currency : null,
  };
}
