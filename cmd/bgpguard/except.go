package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// The values of --dry-run and -o, as in kubectl.
var (
	dryRuns       = []string{"none", "client", "server"}
	exceptFormats = []string{"yaml", "json", "name"}
)

// exceptTimeout bounds the request that creates the exception.
const exceptTimeout = 30 * time.Second

type exceptOptions struct {
	clusterOptions

	context, name, selector, reason, dryRun, output string
	policies, users, groups                         []string
	allPolicies, allObjects                         bool
	duration                                        time.Duration
}

func newExcept() *cobra.Command {
	o := exceptOptions{dryRun: dryRuns[0]}
	cmd := &cobra.Command{
		Use:   "except (KIND | KIND/NAME... | --all-objects) (--policy NAME | --all-policies) --reason TEXT",
		Short: "Allow changes that policies deny, for a limited time",
		Long: `Create a BGPException: until it expires, the named policies deny no change of the named
objects, also if they cannot be evaluated. bgpguard warns about each change that it
allows, and records it. Other policies deny as before.

KIND is the kind of the changed objects, such as bgppeer or node. "*" in NAME matches
any characters, and --selector selects by labels. With --user or --group, only the
changes of these users are allowed.

You need the permission to create bgpexceptions.policy.bgpguard.io, which the
ClusterRole bgpguard-exceptions has. "kubectl get bgpexceptions" shows the exceptions.
Delete a BGPException to end it.

Exit code: 0 success, 2 no exception was created.`,
		Example: `  bgpguard except bgppeer/rack-1 --policy reachability-preserved --reason "INC-4711: no routes"
  bgpguard except node --selector rack=1 --policy reflector-redundancy --reason "CHG-12" --for 4h
  bgpguard except --all-objects --all-policies --group network-oncall --reason "INC-4711" --context prod
  bgpguard except ippool/pods --policy pools-in-use --reason "CHG-13" --dry-run=client -o yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.policies, "policy", nil, "`names` of the BGPPolicies that do not deny, separated by commas; repeatable")
	f.BoolVar(&o.allPolicies, "all-policies", false, "except all policies")
	f.BoolVar(&o.allObjects, "all-objects", false, "except changes of all objects")
	f.StringVarP(&o.selector, "selector", "l", "", "label `selector` of the changed objects, as with kubectl")
	f.StringArrayVar(&o.users, "user", nil, "`user` whose changes are allowed; repeatable (default: every user)")
	f.StringArrayVar(&o.groups, "group", nil, "`group` whose changes are allowed; repeatable")
	f.StringVar(&o.reason, "reason", "", "`text` that the record of each change contains, for example the incident; required")
	f.DurationVar(&o.duration, "for", time.Hour, "`time` until the exception expires, at most 168h (7 days)")
	f.StringVar(&o.name, "name", "", "`name` of the BGPException (default: a new one that begins with the policy)")
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context (default: the current context)")
	o.add(f)
	addChoice(cmd, &o.dryRun, "dry-run", dryRuns, "`strategy`: with client, only print the object; with server, do not persist it")
	f.StringVarP(&o.output, "output", "o", "", "`format` of the created object: "+strings.Join(exceptFormats, ", "))
	complete(cmd, "output", exceptFormats)
	return endsItself(cmd)
}

func (o *exceptOptions) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	exception, err := o.exception(args, time.Now())
	if err != nil {
		return err
	}
	created, err := object(exception)
	if err != nil {
		return err
	}
	done := "created (dry run)"
	if o.dryRun != "client" {
		if created, err = o.create(ctx, created, stderr); err != nil {
			return err
		}
		done = "created"
		if o.dryRun == "server" {
			done = "created (server dry run)"
		}
	}
	return o.write(stdout, created, done)
}

// exception returns the BGPException that the flags describe.
func (o *exceptOptions) exception(args []string, now time.Time) (*v1alpha1.BGPException, error) {
	if err := o.validate(args); err != nil {
		return nil, err
	}
	x := &v1alpha1.BGPException{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindBGPException},
		ObjectMeta: metav1.ObjectMeta{Name: o.name},
		Spec: v1alpha1.BGPExceptionSpec{
			Policies: o.policies, Users: o.users, Groups: o.groups, Reason: o.reason,
			Expires: metav1.NewTime(now.Add(o.duration).UTC().Truncate(time.Second)),
		},
	}
	if o.allPolicies {
		x.Spec.Policies = []string{v1alpha1.AllPolicies}
	}
	if o.name == "" {
		x.GenerateName = map[bool]string{true: "all-policies-", false: x.Spec.Policies[0] + "-"}[o.allPolicies]
	}
	var err error
	if x.Spec.Match, err = o.match(args); err != nil {
		return nil, err
	}
	return x, nil
}

func (o *exceptOptions) validate(args []string) error {
	switch {
	case len(o.policies) > 0 && o.allPolicies:
		return errors.New("flags --policy and --all-policies are mutually exclusive")
	case len(o.policies) == 0 && !o.allPolicies:
		return errors.New("flag --policy or --all-policies is required: the policies that deny the change")
	case slices.Contains(o.policies, "") || slices.Contains(o.policies, v1alpha1.AllPolicies):
		return errors.New("flag --policy must be a name: --all-policies excepts all policies")
	case len(args) > 0 && o.allObjects, o.selector != "" && o.allObjects:
		return errors.New("objects and --all-objects are mutually exclusive")
	case len(args) == 0 && !o.allObjects:
		return errors.New("KIND/NAME or --all-objects is required: the objects whose changes are allowed, for example bgppeer/rack-1")
	case strings.TrimSpace(o.reason) == "":
		return errors.New("flag --reason is required: it is part of the record of each change")
	case o.duration <= 0 || o.duration > v1alpha1.MaxExceptionAge:
		return fmt.Errorf("flag --for must be more than 0 and at most 168h, is %s", o.duration)
	case o.output != "":
		if err := checkChoice("output", o.output, exceptFormats); err != nil {
			return err
		}
	}
	return checkChoice("dry-run", o.dryRun, dryRuns)
}

// match returns the match of arguments KIND or KIND/NAME. All must be of one kind: otherwise the
// kinds and the names of a match would also match in other combinations.
func (o *exceptOptions) match(args []string) (v1alpha1.Match, error) {
	var m v1alpha1.Match
	whole := false
	for _, arg := range args {
		kind, name, named := strings.Cut(arg, "/")
		if named && name == "" {
			return m, fmt.Errorf("an argument must be KIND or KIND/NAME, for example bgppeer/rack-1, is %q", arg)
		}
		// Policies evaluate the changes of these.
		found, err := findKind(kind, func(info calico.Info) bool { return slices.Contains(policy.Kinds, string(info.Kind)) })
		if err != nil {
			return m, err
		}
		if len(m.Kinds) > 0 && m.Kinds[0] != string(found) {
			return m, fmt.Errorf("the objects must be of one kind, are of %s and %s: create an exception for each kind", m.Kinds[0], found)
		}
		m.Kinds = []string{string(found)}
		whole = whole || !named
		if named && !slices.Contains(m.Names, name) {
			m.Names = append(m.Names, name)
		}
	}
	if whole && m.Names != nil {
		return m, errors.New("KIND and KIND/NAME are mutually exclusive")
	}
	if o.selector != "" {
		var err error
		if m.LabelSelector, err = metav1.ParseToLabelSelector(o.selector); err != nil {
			return m, fmt.Errorf("flag --selector: %w", err)
		}
	}
	return m, nil
}

// object returns an exception as it is sent.
func object(x *v1alpha1.BGPException) (*unstructured.Unstructured, error) {
	encoded, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var o unstructured.Unstructured
	if err := json.Unmarshal(encoded, &o.Object); err != nil {
		return nil, err
	}
	delete(o.Object, "status")
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	return &o, nil
}

// create creates the exception in the cluster. Warnings of the API server go to stderr.
func (o *exceptOptions) create(ctx context.Context, x *unstructured.Unstructured, stderr io.Writer) (*unstructured.Unstructured, error) {
	live, err := o.find(o.context)
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(live.config)
	config.WarningHandler = rest.NewWarningWriter(stderr, rest.WarningWriterOptions{Deduplicate: true})
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	var options metav1.CreateOptions
	if o.dryRun == "server" {
		options.DryRun = []string{metav1.DryRunAll}
	}
	ctx, cancel := context.WithTimeout(ctx, exceptTimeout)
	defer cancel()
	created, err := client.Resource(v1alpha1.GroupVersion.WithResource("bgpexceptions")).Create(ctx, x, options)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s does not serve %s: install its CRD with kubectl apply -k config/crd", live, v1alpha1.KindBGPException)
	}
	return created, err
}

func (o *exceptOptions) write(w io.Writer, x *unstructured.Unstructured, done string) error {
	name := x.GetName()
	if name == "" {
		name = x.GetGenerateName()
	}
	name = "bgpexception." + v1alpha1.Group + "/" + name
	switch o.output {
	case "yaml":
		return text.YAML(w, x.Object)
	case "json":
		return text.JSON(w, x.Object)
	case "name":
		_, err := fmt.Fprintln(w, name)
		return err
	default:
		_, err := fmt.Fprintln(w, name, done)
		return err
	}
}
