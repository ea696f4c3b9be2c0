/// <reference path="./sdk/skygear.d.ts" />
// A classic script that must compile against /sdk/skygear.d.ts.
void skygear.config({ endPoint: '/', apiKey: 'KEY' }).then(async (client) => {
  const text: string = client.VERSION;
  const City = client.Record.extend('city', { shout() { return this.id.toUpperCase(); } });
  const city = new City({ name: text });
  city.shout();
  await client.privateDB.save(city);
});
