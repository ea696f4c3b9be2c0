// Whether the cases are all that there is to say.
import { same } from '../check.mjs';
import { test } from '../suite.mjs';

test('surface: nothing is missing', async (w) => {
  same(w.sdk.gaps(), []);
});
