// Tells when beans that are ordered now are roasted and leave the house.
const skygearCloud = require('skygear/cloud');

const ROASTING_DAYS = [2, 5]; // Tuesday and Friday
const CUTOFF_HOUR = 7; // UTC: what is ordered later goes into the next roast

// nextRoast is the first roasting day that an order can still make.
function nextRoast(ordered) {
  const day = new Date(Date.UTC(ordered.getUTCFullYear(), ordered.getUTCMonth(), ordered.getUTCDate()));
  if (ordered.getUTCHours() >= CUTOFF_HOUR) day.setUTCDate(day.getUTCDate() + 1);
  while (!ROASTING_DAYS.includes(day.getUTCDay())) day.setUTCDate(day.getUTCDate() + 1);
  return day;
}

// next_roast takes {ordered}, a date, or nothing for now.
skygearCloud.op('next_roast', ({args}) => {
  const ordered = args?.ordered === undefined ? new Date() : new Date(args.ordered);
  if (Number.isNaN(ordered.getTime())) {
    throw new skygearCloud.SkygearError('ordered must be a date', skygearCloud.ErrorCodes.InvalidArgument, {arguments: ['ordered']});
  }
  const roasted = nextRoast(ordered);
  const leaves = new Date(roasted);
  leaves.setUTCDate(leaves.getUTCDate() + 1);
  return {roasted: roasted.toISOString().slice(0, 10), leaves: leaves.toISOString().slice(0, 10)};
});
