var bag = { name: 'House blend', price: 1500 };
var outcome = document.getElementById('outcome');

skygear.config({
  endPoint: '<your-skygear-endpoint>',
  apiKey: '<your-skygear-api-key>',
});

var handler = StripeCheckout.configure({
  key: '<your-stripe-public-key>',
  locale: 'auto',
  token: function (token) {
    outcome.textContent = 'One moment...';
    skygear.lambda('process_payment', {
      product_name: bag.name,
      product_price: bag.price,
      stripe_token: token.id,
      user_email: token.email,
    }).then(function (answer) {
      outcome.textContent = answer.result && answer.result[0]._id
        ? 'Thank you! The beans are on their way to ' + answer.result[0].receipt_email + '.'
        : 'Sorry, the card was not accepted.';
    }, function (failure) {
      outcome.textContent = 'Sorry, that did not work: ' + failure.error.message;
    });
  },
});

document.getElementById('buy').addEventListener('click', function (event) {
  handler.open({ name: 'Beans by post', description: bag.name, amount: bag.price });
  event.preventDefault();
});

window.addEventListener('popstate', function () { handler.close(); });
