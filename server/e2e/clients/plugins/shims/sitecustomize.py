# The name that py-skygear knows this class by has left Werkzeug.
import werkzeug.wrappers

werkzeug.wrappers.BaseResponse = werkzeug.wrappers.Response
