package config

import (
	"maps"
	"os"
	"slices"
)

// Push is the services that messages to devices go through; nil: not used.
type Push struct {
	APNS *APNS
	FCM  *FCM
}

// APNS is the account at Apple's push service: a key with its ids, or a certificate with its key.
type APNS struct {
	Production     bool   // APNS_ENV: production or sandbox
	KeyID          string // APNS_KEY_ID
	TeamID         string // APNS_TEAM_ID
	Key            Secret // APNS_TOKEN_KEY, the text of the .p8 file
	Certificate    Secret // APNS_CERTIFICATE, with APNS_TYPE=cert
	CertificateKey Secret // APNS_PRIVATE_KEY
	Topic          string // APNS_TOPIC: of devices that registered without one
}

// FCM is the account at Google's push service.
type FCM struct {
	ServiceAccount Secret // FCM_SERVICE_ACCOUNT_KEY, the JSON from Google
}

// read reads the variables of Skygear's push. Wire: skygear §6.
func (p *Push) read(v *variables) {
	var apns, fcm bool
	v.boolean("APNS_ENABLE", &apns)
	v.boolean("FCM_ENABLE", &fcm)
	if apns {
		p.APNS = readAPNS(v)
	}
	if fcm {
		p.FCM = readFCM(v)
	}
	for name, instead := range map[string]string{
		"GCM_ENABLE":   "Google has switched GCM off; set FCM_ENABLE and FCM_SERVICE_ACCOUNT_KEY, and unset it",
		"BAIDU_ENABLE": "Baidu's push service is not supported; unset it",
	} {
		var on bool
		if v.boolean(name, &on); on {
			v.p.add("%s is on: %s", name, instead)
		}
	}
}

func readAPNS(v *variables) *APNS {
	a := &APNS{}
	switch env, _ := v.get("APNS_ENV"); env {
	case "", "sandbox":
	case "production":
		a.Production = true
	default:
		v.p.add("APNS_ENV is %q; it must be sandbox or production", env)
	}
	a.Topic, _ = v.get("APNS_TOPIC")
	a.KeyID, _ = v.get("APNS_KEY_ID")
	a.TeamID, _ = v.get("APNS_TEAM_ID")
	a.Key = v.secretAt("APNS_TOKEN_KEY")
	a.Certificate, a.CertificateKey = v.secretAt("APNS_CERTIFICATE"), v.secretAt("APNS_PRIVATE_KEY")
	kind, given := v.get("APNS_TYPE")
	if !given && a.Key == "" && a.Certificate != "" { // what the variable meant when it did not exist
		kind = "cert"
	}
	switch kind {
	case "", "token":
		v.needs("APNS_ENABLE", map[string]string{"APNS_KEY_ID": a.KeyID, "APNS_TEAM_ID": a.TeamID, "APNS_TOKEN_KEY": a.Key.Reveal()})
		a.Certificate, a.CertificateKey = "", ""
	case "cert":
		v.needs("APNS_ENABLE", map[string]string{"APNS_CERTIFICATE": a.Certificate.Reveal(), "APNS_PRIVATE_KEY": a.CertificateKey.Reveal()})
	default:
		v.p.add("APNS_TYPE is %q; it must be token or cert", kind)
	}
	return a
}

func readFCM(v *variables) *FCM {
	if kind, _ := v.get("FCM_TYPE"); kind != "" && kind != "service_account" {
		v.p.add("FCM_TYPE is %q; Google takes messages from a service account only: set FCM_SERVICE_ACCOUNT_KEY, and FCM_TYPE to service_account", kind)
		return nil
	}
	f := &FCM{ServiceAccount: v.secretAt("FCM_SERVICE_ACCOUNT_KEY")}
	v.needs("FCM_ENABLE", map[string]string{"FCM_SERVICE_ACCOUNT_KEY": f.ServiceAccount.Reveal()})
	return f
}

// needs complains about what is missing although a switch is on.
func (v *variables) needs(on string, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == "" {
			v.p.add("%s is on and %s is missing", on, name)
		}
	}
}

// secretAt is secret that also knows Skygear's own way to name a file, name_PATH.
func (v *variables) secretAt(name string) Secret {
	file, ok := v.get(name + "_PATH")
	if !ok {
		return v.secret(name)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		v.p.add("%s_PATH: cannot read %s: %v", name, file, pathless(err))
	}
	return Secret(b)
}
