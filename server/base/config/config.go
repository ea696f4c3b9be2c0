package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is everything the server is told. It is read once and not changed afterwards.
type Config struct {
	Name            string         // APP_NAME, else app.json's name: lower-case letters, digits, "_"; names the schema
	Listen          string         // HOST, host:port
	PublicURL       string         // PUBLIC_URL without a slash at its end
	PublicURLGiven  bool           // PUBLIC_URL was set; else PublicURL is this machine's
	DataDir         string         // CREMA_DATA
	DevMode         bool           // DEV_MODE
	CORSHost        string         // CORS_HOST; "" is off
	ResponseTimeout time.Duration  // RESPONSE_TIMEOUT
	TrustedProxies  []netip.Prefix // TRUSTED_PROXIES
	APIKey          Secret         // API_KEY, else made on first start
	MasterKey       Secret         // MASTER_KEY, else made on first start
	DatabaseURL     Secret         // DATABASE_URL; "" is the private cluster
	ListenURL       Secret         // DATABASE_LISTEN_URL: the same database past a pooler; "" is DatabaseURL
	Stripe          Stripe
	Payments        Payments
	Pubsub          Pubsub
	Push            Push
	Assets          Assets
	Users           Users
	Operator        Operator
	Log             Log
	Shop            Shop
	FunctionTimeout time.Duration // app.json functions.timeout_seconds
	FunctionsDir    string        // app.json functions.folder
	Workers         Workers
	Plugins         []Plugin
	BodyLimit       int64    // app.json limits.body_bytes
	StaticDir       string   // app.json static.folder
	Unused          []string // variables of Skygear that were given and do nothing here
}

// Operator is the account that is made where there is none.
type Operator struct {
	Email    string // OPERATOR_EMAIL; "": none
	Password Secret // OPERATOR_PASSWORD
}

// DeploysFolder is the folder of copies of versions in the data folder. The name says that the data folder is ours.
const DeploysFolder = "deploys"

// Assets is where files are kept and how they are reached.
type Assets struct {
	Dir       string // ASSET_STORE_PATH
	S3        *S3    // ASSET_STORE=s3; nil: they are in Dir
	Public    bool   // ASSET_STORE_PUBLIC
	URLPrefix string // ASSET_STORE_URL_PREFIX without a slash at its end; "" is /files below PublicURL
	Secret    Secret // ASSET_STORE_SECRET; "" is one of the app's own
	MaxBytes  int64  // ASSET_STORE_MAX
}

// S3 is a bucket of an S3-compatible store.
type S3 struct {
	Endpoint  string // ASSET_STORE_S3_ENDPOINT, an URL; "" is Amazon's
	Region    string // ASSET_STORE_REGION
	Bucket    string // ASSET_STORE_BUCKET
	AccessKey string // ASSET_STORE_ACCESS_KEY
	SecretKey Secret // ASSET_STORE_SECRET_KEY
}

// Stripe is the account that payments go to.
type Stripe struct {
	SecretKey      Secret   // STRIPE_SECRET_KEY
	PublishableKey string   // STRIPE_PUBLISHABLE_KEY
	WebhookSecrets []Secret // STRIPE_WEBHOOK_SECRET, separated by commas while one is rolled
	SandboxURL     string   // STRIPE_SANDBOX_URL: a sandbox in another process; "" is the built-in one, or Stripe
}

// Payments is how the shop takes payments.
type Payments struct {
	TokenPath bool          // app.json payments.token_path: card tokens are taken with real keys too
	Live      bool          // app.json payments.live: live keys are allowed
	Limits    PaymentLimits // app.json payments.limits
}

// PaymentLimits keep bots from trying stolen cards. 0 is the default of the payments room.
type PaymentLimits struct {
	DeclinesPerAddress int64 // in an hour
	DeclinesPerEmail   int64 // in an hour
	AttemptsPerOrder   int64
	RateWindowSeconds  int64
	RateAtLeast        int64
	RatePercent        int64
}

// Pubsub bounds the websockets, app.json pubsub. 0 is the default of the room and its door.
type Pubsub struct {
	MessageBytes      int64
	Sockets           int64 // of this server
	SocketsPerAddress int64
}

// Workers bound the processes that run functions in other languages. 0 is the default of the room.
type Workers struct {
	Count       int64 // app.json functions.workers: processes for each language
	MemoryBytes int64 // app.json functions.memory_megabytes: of each
	Processes   int64 // app.json functions.processes: what functions may start themselves, threads included
}

// Plugin is a process of Skygear's that serves functions.
type Plugin struct {
	Name string // in PLUGINS
	URL  string // <name>_PATH
}

// Log is how the server logs.
type Log struct {
	Level  slog.Level // LOG_LEVEL: debug, info, warn, error
	Format string     // LOG_FORMAT: text, json
}

// Shop is what the shop calls itself.
type Shop struct {
	Name     string // app.json shop.name
	Currency string // app.json shop.currency, ISO 4217 in lower case
	Contact  string // app.json shop.contact: how shoppers reach the seller, printed on receipts; may be empty
}
