// The settings of the runtime, from the environment. The names are those of skygear-node.
'use strict';
const {env} = process;

function truth(value, otherwise) {
  return value === undefined || value === '' ? otherwise : !['false', 'no', '0'].includes(value.toLowerCase().trim());
}

function number(value, otherwise) {
  const n = parseInt(value, 10);
  return Number.isNaN(n) ? otherwise : n;
}

function modules(list = '') {
  const separator = [':', ',', ' '].find((s) => list.includes(s)) ?? ' ';
  return list.split(separator).filter((name) => name && (!name.includes('~') || name.endsWith('~js'))).map((name) => name.replace(/~js$/, ''));
}

const [address, port] = (env.HTTP_ADDR || '0.0.0.0:9000').split(':');

const settings = {
  skygearAddress: env.SKYGEAR_ADDRESS || 'tcp://127.0.0.1:6666',
  skygearEndpoint: env.SKYGEAR_ENDPOINT || 'http://127.0.0.1:3000',
  apiKey: env.API_KEY || null,
  masterKey: env.MASTER_KEY || null,
  appName: env.APP_NAME || '',
  logLevel: env.LOG_LEVEL || 'info',
  logFormat: env.LOG_FORMAT || 'text',
  http: {enabled: env.HTTP || true, address: address || '0.0.0.0', port: number(port, 9000)},
  debug: truth(env.DEBUG, false),
  pubsubURL: env.PUBSUB_URL || 'ws://127.0.0.1:3000/pubsub',
  serveStaticAssets: truth(env.SERVE_STATIC_ASSETS, true),
  collectAsset: env.COLLECT_ASSET || '/usr/src/assets',
  forceAsset: truth(env.FORCE_ASSET, false),
  databaseURL: env.DATABASE_URL || '',
  pgPoolMax: number(env.PG_POOL_MAX, 10),
  pgPoolMin: number(env.PG_POOL_MIN, 0),
  pgPoolIdleTimeoutMillis: number(env.PG_POOL_IDLE_TIMEOUT_MILLIS, 3000),
  assetStore: env.ASSET_STORE || 'fs',
  assetStoreSecret: env.ASSET_STORE_SECRET || 'asset-secret',
  assetStoreURLPrefix: env.ASSET_STORE_URL_PREFIX || 'http://127.0.0.1:3000/files',
  assetStoreURLExpireDuration: number(env.ASSET_STORE_URL_EXPIRE_DURATION, 3600),
  loadModules: modules(env.LOAD_MODULES),
};

module.exports = {settings};
