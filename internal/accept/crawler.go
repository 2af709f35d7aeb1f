package accept

import "strings"

// crawlers are substrings, in lower case, of user agents that index or preview pages
// without running their scripts and therefore need complete pages.
var crawlers = []string{ //nolint:gochecknoglobals // a constant in all but name
	"googlebot", "google-inspectiontool", "mediapartners-google", "adsbot-google", "storebot-google", "apis-google", "feedfetcher-google",
	"bingbot", "bingpreview", "msnbot", "slurp", "duckduckbot", "duckassistbot", "baiduspider", "yandex", "sogou", "petalbot", "yeti", "seznambot", "ia_archiver", "archive.org_bot",
	"applebot", "facebookexternalhit", "facebookcatalog", "facebot", "meta-externalagent", "twitterbot", "linkedinbot", "slackbot", "slack-imgproxy", "discordbot", "telegrambot",
	"whatsapp", "skypeuripreview", "pinterest", "redditbot", "tumblr", "vkshare", "bitlybot", "embedly", "quora link preview", "flipboard", "outbrain", "rogerbot", "w3c_validator",
	"semrushbot", "ahrefsbot", "mj12bot", "screaming frog", "lighthouse", "gptbot", "chatgpt-user", "oai-searchbot", "claudebot", "claude-searchbot", "perplexitybot", "ccbot", "amazonbot", "bytespider",
}

// IsCrawler reports whether a User-Agent is that of a crawler or a link preview.
func IsCrawler(agent string) bool {
	agent = strings.ToLower(agent)
	for _, name := range crawlers {
		if strings.Contains(agent, name) {
			return true
		}
	}
	return false
}
