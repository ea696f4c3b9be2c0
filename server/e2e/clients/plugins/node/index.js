const skygear = require('skygear');
const cloud = require('skygear/cloud');

cloud.op('probe:echo', (param) => param.args);
cloud.op('probe:swap', ({args: [a, b]}) => [b, a]);
cloud.op('probe:nothing', () => null);
cloud.op('probe:refuse', () => {
  throw new cloud.SkygearError('not you', cloud.ErrorCodes.PermissionDenied, {bean: 'blue'});
});
cloud.op('probe:own', () => {
  throw new cloud.SkygearError('a code of its own', 4711);
});
cloud.op('probe:crash', () => undefined.missing);
cloud.op('probe:user', (param, {context}) => Boolean(context.user_id), {userRequired: true});
cloud.op('probe:key', (param, {context}) => context.access_key_type, {keyRequired: true});
cloud.op('probe:who', (param, {context}) => [context.user_id || null, context.access_key_type || null]);
cloud.op('probe:whole', (param) => Object.keys(param).sort());
cloud.op('probe:save', async ({args: {key}}, {container}) => {
  const Bean = skygear.Record.extend('bean');
  const record = await container.publicDB.save(new Bean({_id: `bean/${key}`, grams: 250}));
  return {id: record.id, grams: record.grams, checked: record.checked, owner: record.ownerID};
});
cloud.handler('probe:page', (req) => ({path: req.path, method: req.method, a: req.query.a, body: String(req.body)}), {method: ['GET', 'POST']});
cloud.handler('probe:text', () => 'plain');
cloud.handler('probe:teapot', () => new cloud.SkygearResponse({statusCode: 418, headers: {'X-Tea': ['green']}, body: 'short and stout'}));
cloud.handler('probe:broken', () => {
  throw new cloud.SkygearError('no page', cloud.ErrorCodes.PermissionDenied);
});
cloud.beforeSave('bean', function check(record, original) {
  if (record.grams === 13) throw new cloud.SkygearError('not this many', cloud.ErrorCodes.PermissionDenied);
  record.checked = true;
  record.again = Boolean(original);
  return record;
});
cloud.afterSave('bean', function later() {
  throw new Error('nobody hears this');
}, {async: true});
cloud.beforeDelete('bean', function keep(record) {
  if (record.grams === 1000) throw new cloud.SkygearError('this one stays', cloud.ErrorCodes.PermissionDenied);
});
const events = [];
cloud.event('after-config', ({config}) => events.push('first ' + config.app.name));
cloud.event('after-config', () => events.push('second'));
cloud.op('probe:events', () => [...events, cloud.skyconfig.app.name]);
cloud.handler('probe:twice', () => 'once');
cloud.handler('probe:twice', (req) => [req.url.pathname, req.url.query, req.url.search, req.url.href, req.url.path], {method: 'GET'});
cloud.op('probe:signed', async () => {
  const url = new URL(await cloud.getSigner().sign('a.png'));
  return [url.pathname, [...url.searchParams.keys()]];
});
