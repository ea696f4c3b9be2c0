// The list of cases, and the loop that runs them one after the other.
import { World } from './world.mjs';
import { Failed } from './check.mjs';

const cases = [];

// test adds a case. needs names APIs ("push", "Query.hash"): a client that does not offer one of them skips it.
export function test(name, run, { needs = [] } = {}) {
  cases.push({ name, run, needs });
}

const limit = 60000;

// runAll runs the cases that this client can do and reports {name, error, ms} for each; error is null where all is well.
export async function runAll(sdk, settings, report, only = '') {
  const world = new World(sdk, settings);
  for (const { name, run, needs } of cases) {
    if (!name.includes(only) || needs.some((api) => sdk.lacks(api))) continue;
    const start = Date.now();
    report({ name, error: await outcome(run, world), ms: Date.now() - start });
    world.close();
  }
}

async function outcome(run, world) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failed(`no end after ${limit} ms`)), limit);
  });
  try {
    await Promise.race([run(world), late]);
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? `${thrown.message}\n${thrown.stack}` : `refused: ${JSON.stringify(thrown)}`;
  } finally {
    clearTimeout(timer);
  }
}
