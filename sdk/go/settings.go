package gatehouse

import "fmt"

// configured is what OnConfigure registered. A guest runs on one thread, nothing need guard it.
var configured func(settings []byte) error

// OnConfigure registers what takes the plugin's settings: a JSON object, {} when there are none. It is called once, before
// any review, from a plugin's init function. An error refuses the settings: the plugin does not come up, and the server's
// log holds the error. Without it a plugin takes no settings.
func OnConfigure(f func(settings []byte) error) { configured = f }

func configure(settings []byte) error {
	if configured != nil {
		return configured(settings)
	}
	if string(settings) != "{}" {
		return fmt.Errorf("this plugin takes no settings")
	}
	return nil
}
