// The package skygear: the client of the server, as pages have it too, and the classes of records and queries.
'use strict';
const sdk = require('crema/sdk.js');
const {settings} = require('crema/skygear/settings.js');

const client = new sdk.SkygearClient();
client.endPoint = settings.skygearEndpoint;
client.apiKey = settings.apiKey;

// Pages and functions get the classes as properties of the client.
for (const name of ['ACL', 'Asset', 'Database', 'Error', 'ErrorCodes', 'Geolocation', 'Query', 'Record', 'Reference', 'Role', 'Sequence',
  'UnknownValue', 'UserRecord', 'Friend', 'Follower', 'Following']) {
  client[name] = sdk.SkygearClient.prototype[name];
}
client.SkygearError = client.Error;
client.toJSON = sdk.toJSON;
client.fromJSON = sdk.fromJSON;
client.default = client;

module.exports = client;
