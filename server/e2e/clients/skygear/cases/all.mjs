// Every file of cases, in the order in which they run.
import './client.mjs';
import './lambda.mjs';
import './records.mjs';
import './values.mjs';
import './query.mjs';
import './access.mjs';
import './assets.mjs';
import './auth.mjs';
import './ours.mjs';
import './pubsub.mjs';
import './push.mjs';
import './relations.mjs';
import './sharing.mjs';
import './sso.mjs';
import './surface.mjs'; // the last one: it looks back
