"""Sells beans: charges the card and writes the sale down."""
import uuid

import skygear
import stripe
from skygear.container import SkygearContainer
from skygear.options import options

stripe.api_key = '<your-stripe-private-key>'

container = SkygearContainer(api_key=options.masterkey, user_id='<your-user-id>')


@skygear.op('process_payment', user_required=False)
def process_payment(product_name, product_price, stripe_token, user_email):
    try:
        stripe.Charge.create(
            amount=product_price,
            currency='usd',
            description=product_name,
            source=stripe_token,
            receipt_email=user_email,
        )
    except Exception as problem:
        print('no sale of %s: %s' % (product_name, problem))
        return {'results': 'failed'}
    return container.send_action('record:save', {
        'database_id': '_public',
        'records': [{
            '_id': 'payment_record/%s' % uuid.uuid4(),
            '_access': [{'level': 'read', 'public': True}],
            'receipt_email': user_email,
            'product': product_name,
            'amount': product_price,
        }],
    })
