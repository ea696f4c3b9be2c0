// Serves npm stripe-stateful-mock on a free port of this machine and says where: node stateful-mock.mjs
import { createRequire } from 'node:module';

const { createExpressApp } = createRequire(import.meta.url)('stripe-stateful-mock');
const server = createExpressApp().listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
// Its input ends with the test that started it, also when that one is killed.
process.stdin.on('end', () => process.exit(0)).resume();
