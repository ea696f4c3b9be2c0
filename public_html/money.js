// Amounts are whole minor units until the moment they are shown.

const NO_DECIMALS = new Set('BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' '));
const THREE_DECIMALS = new Set('BHD JOD KWD OMR TND'.split(' '));

// decimals is how many decimals card networks give a currency. Browsers know another list, so it is written out here.
export function decimals(currency) {
  const code = currency.toUpperCase();
  return NO_DECIMALS.has(code) ? 0 : THREE_DECIMALS.has(code) ? 3 : 2;
}

// money(1000, 'usd') is "$10.00" to an American reader.
export function money(minor, currency, display = 'symbol') {
  const digits = decimals(currency);
  const format = new Intl.NumberFormat(undefined, {
    style: 'currency', currency: currency.toUpperCase(), currencyDisplay: display,
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  return format.format(minor / 10 ** digits);
}
