// A Blackhole node, at its beginning: the identity service says that it is healthy, and no more.
//
// `service identity --config FILE [--version V]`, as the launch contract has it. Whatever is not
// written yet is refused by name: roles, services and settings here, methods by gRPC itself.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "blackhole/gen/blackhole/config/v1"
)

// Roles are those that are written, and what adds their methods to a server: put yours here.
// What nobody adds, gRPC answers with UNIMPLEMENTED.
var roles = map[string]func(*grpc.Server, *configv1.NodeConfig){
	"service identity": func(*grpc.Server, *configv1.NodeConfig) {},
}

// Settings that this program keeps to, and those that are none of its business. Any other is
// refused: move it here once it does something.
var (
	honoured      = []string{"socket_dir", "data_dir", "services", "grace_period", "health", "identity"}
	ofOthers      = []string{"pool", "retry", "circuit", "batch", "registry", "default_timeout", "orchestrator", "events", "storage"}
	ofOthersEntry = []string{"command", "dependencies", "limits", "metadata", "version"}
)

// Bytes of a socket's path that the kernel takes at most.
const longestSocket = 107

func main() {
	startLog("")
	arguments := os.Args[1:]
	var words []string
	for len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		words, arguments = append(words, arguments[0]), arguments[1:]
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.Usage = func() {}
	flags.SetOutput(new(strings.Builder))
	file := flags.String("config", "", "")
	version := flags.String("version", "", "")
	if err := flags.Parse(arguments); err != nil {
		refuse(err.Error())
	}
	role := strings.Join(words, " ")
	if roles[role] == nil {
		refuse(role + ": is not written yet")
	}
	name := words[len(words)-1]
	startLog(name)
	config := read(*file)
	if len(words) > 1 {
		checkEntry(config, name)
	}
	serve(role, name, *version, config)
}

// read returns a configuration that this program can keep to, and refuses any other by its field.
func read(file string) *configv1.NodeConfig {
	text, err := os.ReadFile(file)
	if err != nil {
		refuse(err.Error())
	}
	config := &configv1.NodeConfig{}
	// Unmarshal refuses unknown fields, unless it is told otherwise.
	if err := protojson.Unmarshal(text, config); err != nil {
		refuse(fmt.Sprintf("%s: %s%v", file, culprit(text), err))
	}
	config.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if name := string(field.Name()); !slices.Contains(honoured, name) && !slices.Contains(ofOthers, name) {
			refuse(leaf(name, field, value) + ": this setting is not supported yet")
		}
		return true
	})
	if config.GetGracePeriod().AsDuration() < 0 {
		refuse("grace_period: is negative")
	}
	return config
}

// culprit returns the first setting that cannot be read, which protojson does not always name.
func culprit(text []byte) string {
	var settings map[string]json.RawMessage
	if json.Unmarshal(text, &settings) != nil {
		return ""
	}
	for name, value := range settings {
		one := fmt.Sprintf("{%q: %s}", name, value)
		if protojson.Unmarshal([]byte(one), &configv1.NodeConfig{}) != nil {
			return name + ": "
		}
	}
	return ""
}

// leaf returns the path of the first setting within a field.
func leaf(path string, field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	if field.Message() == nil || field.IsMap() || field.IsList() {
		return path
	}
	found := path
	value.Message().Range(func(inner protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		found = leaf(path+"."+string(inner.Name()), inner, value)
		return false
	})
	return found
}

// checkEntry refuses to be a service that is not configured, or that is asked for more.
func checkEntry(config *configv1.NodeConfig, name string) {
	entry := config.GetServices()[name]
	if entry == nil {
		refuse("services: has no entry for " + name)
	}
	entry.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !slices.Contains(ofOthersEntry, string(field.Name())) {
			path := leaf(string(field.Name()), field, value)
			refuse(fmt.Sprintf("services.%s.%s: this setting is not supported yet", name, path))
		}
		return true
	})
	store := filepath.Join(orElse(config.GetDataDir(), "/var/lib/blackhole"), name)
	if err := os.MkdirAll(store, 0o700); err != nil {
		refuse("data_dir: " + err.Error())
	}
	probe, err := os.CreateTemp(store, "probe")
	if err != nil {
		refuse("data_dir: " + err.Error())
	}
	probe.Close()
	os.Remove(probe.Name())
}

// serve serves until SIGTERM, and lets calls in flight end.
func serve(role, name, version string, config *configv1.NodeConfig) {
	stop, done := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer done()
	path := socketPath(name, version, config)
	server := grpc.NewServer()
	status := health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, status)
	roles[role](server, config)

	// The socket is its owner's alone from its first moment on.
	before := syscall.Umask(0o177)
	listener, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		refuse(err.Error())
	}
	status.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	go server.Serve(listener)
	slog.Info("serving", "socket", path)

	<-stop.Done()
	status.Shutdown()
	grace := 5 * time.Second
	if config.GetGracePeriod() != nil {
		grace = config.GetGracePeriod().AsDuration()
	}
	// GracefulStop has no end of its own.
	timer := time.AfterFunc(grace, server.Stop)
	server.GracefulStop()
	timer.Stop()
	slog.Info("stopped")
}

// socketPath returns where to listen, and refuses a place that cannot be used, or is somebody's.
func socketPath(name, version string, config *configv1.NodeConfig) string {
	directory := orElse(config.GetSocketDir(), "/var/run/blackhole")
	if version != "" {
		name += "@" + version
	}
	path := filepath.Join(directory, name+".sock")
	if len(path) > longestSocket {
		refuse(fmt.Sprintf("socket_dir: %s is longer than %d bytes", path, longestSocket))
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		refuse("socket_dir: " + err.Error())
	}
	found, err := os.Lstat(path)
	if err != nil {
		return path
	}
	if found.Mode().Type() != os.ModeSocket {
		refuse(path + ": is there, and no socket")
	}
	if other, err := net.Dial("unix", path); err == nil {
		other.Close()
		refuse(path + ": another process serves there")
	}
	os.Remove(path)
	return path
}

func orElse(given, usual string) string {
	if given != "" {
		return given
	}
	return usual
}

// startLog makes the log what the launch contract asks for: one JSON object a line on standard error.
func startLog(service string) {
	named := func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.MessageKey:
			a.Key = "message"
		case slog.LevelKey:
			a.Value = slog.StringValue(strings.Replace(strings.ToLower(a.Value.String()), "warn", "warning", 1))
		}
		return a
	}
	handler := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: named})
	slog.SetDefault(slog.New(handler).With("service", service))
}

// refuse says why the process cannot start, and ends it.
func refuse(reason string) {
	slog.Error(reason)
	os.Exit(2)
}
