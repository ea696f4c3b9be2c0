// The types of /sdk/skygear.js: /// <reference path="skygear.d.ts" />
declare const skygear: import('./skygear.mjs').SkygearClient;
