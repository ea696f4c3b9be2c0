// Every file of cases, in the order in which they run.
import './client.mjs';
import './lambda.mjs';
import './records.mjs';
import './values.mjs';
import './query.mjs';
