// Files.
import { ok, refused, same } from '../check.mjs';
import { test } from '../suite.mjs';

const read = async (url) => {
  const response = await fetch(url);
  return [response.status, response.headers.get('content-type'), await response.text()];
};

test('asset: upload, then get it', async (w) => {
  const client = await w.client();
  const asset = await client.publicDB.uploadAsset(w.asset('hello.txt', 'text/plain', 'hello ünï'));
  ok(asset instanceof w.any.Asset, 'no Asset');
  ok(/^[0-9a-f-]{36}-hello\.txt$/.test(asset.name), asset.name);
  same([asset.contentType, asset.file], ['text/plain', undefined]);
  same(await read(asset.url), [200, 'text/plain', 'hello ünï']);
  const tampered = new URL(asset.url);
  tampered.searchParams.set('signature', 'AAAA');
  ok([401, 403].includes((await fetch(tampered)).status), 'anybody may get it');
});

test('asset: in a record, uploaded as it is saved', async (w) => {
  const client = await w.user();
  const Post = w.type('post');
  const post = new Post({ picture: w.asset('a b+c.svg', 'image/svg+xml', '<svg/>'), title: 'x' });
  await client.publicDB.save(post);
  same(post.picture.contentType, 'image/svg+xml');
  const found = await client.publicDB.getRecordByID(post.id);
  ok(found.picture instanceof w.any.Asset, 'no Asset');
  same([found.picture.name, found.title], [post.picture.name, 'x']);
  same((await read(found.picture.url)).slice(0, 3), [200, 'image/svg+xml', '<svg/>']);
  found.title = 'y';
  await client.publicDB.save(found);
  const [again] = await client.publicDB.query(new w.any.Query(Post));
  same([again.title, again.picture.name], ['y', post.picture.name], 'saved again');
});

test('asset: several at once', async (w) => {
  const client = await w.user();
  const Post = w.type('post');
  const posts = ['one', 'two'].map((content) => new Post({ file: w.asset(`${content}.txt`, 'text/plain', content) }));
  await client.publicDB.save(posts);
  for (const [i, content] of ['one', 'two'].entries()) same((await read(posts[i].file.url))[2], content);
});

test('asset: in the arguments of a function', async (w) => {
  const client = await w.client();
  await refused(client.lambda('echo', { message: w.asset('a.txt', 'text/plain', 'a') }), { status: 400, code: 108, arguments: ['message'] });
});

test('asset: from base64', async (w) => {
  const client = await w.client();
  const asset = new w.any.Asset({ name: 'b.txt', base64: btoa('from base64'), contentType: 'text/plain' });
  same(await read((await client.publicDB.uploadAsset(asset)).url), [200, 'text/plain', 'from base64']);
});

test('asset: the object', async (w) => {
  const { Asset } = w.any;
  const asset = Asset.fromJSON({ $type: 'asset', $name: 'n', $url: 'u', $content_type: 't' });
  same([asset.name, asset.url, asset.contentType], ['n', 'u', 't']);
  same(asset.toJSON(), { $type: 'asset', $name: 'n', $url: 'u' });
  for (const [attributes, want] of [[{}, 'Name should not be empty'], [{ name: 'x', file: new Uint8Array(1) }, 'ContentType cannot be inferred']]) {
    let message = 'fine';
    try {
      new Asset(attributes);
    } catch (thrown) {
      ({ message } = thrown);
    }
    ok(message.includes(want), message);
  }
});

test('asset: nothing is no file', async (w) => {
  const client = await w.client();
  await refused(client.publicDB.uploadAsset(w.asset('empty.txt', 'text/plain', '')), { status: 400, code: 108 });
});

test('asset: a field that names no stored file', async (w) => {
  const client = await w.user();
  const asset = new w.any.Asset({ name: 'no-such-file.txt' });
  asset.url = '';
  const error = await client.publicDB.save(new (w.type('post'))({ file: asset })).then(() => null, (e) => e);
  same([error?._type, error?.name !== undefined], ['error', true]);
});
