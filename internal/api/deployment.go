package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
)

// deployment is a deployment with the field names of old and new clients.
type deployment struct {
	ID  lateen.DeploymentID `json:"id"`
	UID lateen.DeploymentID `json:"uid"`

	Name      string           `json:"name"`
	ProjectID lateen.ProjectID `json:"projectId"`
	OwnerID   lateen.TeamID    `json:"ownerId"`
	Team      deploymentTeam   `json:"team"`
	Creator   creator          `json:"creator"`

	URL          string `json:"url"`          // host without scheme
	SiteURL      string `json:"siteUrl"`      // the same as a URL, with the port if there is one
	InspectorURL string `json:"inspectorUrl"` // URL for people; the same as siteUrl

	Target            *lateen.Environment `json:"target"` // production; null is preview or a custom environment
	CustomEnvironment *environment        `json:"customEnvironment,omitempty"`
	Environment       lateen.Environment  `json:"environment"` // production, preview or the slug of a custom environment
	Source            string              `json:"source,omitempty"`

	ReadyState    lateen.ReadyState `json:"readyState"`
	State         lateen.ReadyState `json:"state"`
	Status        lateen.ReadyState `json:"status"`
	ReadySubstate string            `json:"readySubstate,omitempty"` // STAGED, PROMOTED
	Live          bool              `json:"live"`                    // the production hosts of its project lead to it
	CanRollBack   bool              `json:"isRollbackCandidate"`     // an earlier production deployment
	ErrorCode     string            `json:"errorCode,omitempty"`
	ErrorMessage  string            `json:"errorMessage,omitempty"`

	CreatedAt     lateen.Millis  `json:"createdAt"`
	Created       lateen.Millis  `json:"created"`
	BuildingAt    lateen.Millis  `json:"buildingAt,omitempty"`
	Ready         lateen.Millis  `json:"ready,omitempty"`
	AliasAssigned *lateen.Millis `json:"aliasAssigned"` // null: not yet
	AliasError    *string        `json:"aliasError"`
	Alias         []string       `json:"alias,omitzero"` // hosts that lead to it, except its own; absent in lists

	Meta        map[string]string   `json:"meta"`
	GitMetadata *lateen.GitMetadata `json:"gitMetadata,omitempty"`
	Version     int                 `json:"version"`
	Type        string              `json:"type"`
	Public      bool                `json:"public"`
	Regions     []string            `json:"regions"`
	Duration    *duration           `json:"duration,omitempty"` // only of a ready deployment
	TraceID     string              `json:"traceId"`            // of the spans of its creation and assembly, W3C Trace Context
}

// duration is the durations of parts of a deployment, in milliseconds.
type duration struct {
	TimeToReady lateen.Millis `json:"timeToReady"` // since the start of its assembly
}

type deploymentTeam struct {
	ID   lateen.TeamID `json:"id"`
	Slug string        `json:"slug,omitempty"`
}

type creator struct {
	UID      lateen.UserID `json:"uid"`
	Username string        `json:"username"`
}

func (a *API) creatorOf(r *http.Request, id lateen.UserID) creator {
	return creator{UID: id, Username: a.Control.Username(r.Context(), id)}
}

// wire returns a deployment without its aliases.
func (a *API) wire(r *http.Request, d *lateen.Deployment) deployment {
	out := deployment{
		ID: d.ID, UID: d.ID, Name: d.Name, ProjectID: d.Project, OwnerID: d.Team,
		Team: deploymentTeam{ID: d.Team}, Creator: a.creatorOf(r, d.Creator),
		URL: d.Host, SiteURL: a.Control.SiteURL(d.Host), InspectorURL: a.Control.SiteURL(d.Host), Source: d.Source,
		ReadyState: d.State, State: d.State, Status: d.State, ErrorCode: d.ErrorReason, ErrorMessage: d.ErrorText,
		CreatedAt: d.CreatedAt, Created: d.CreatedAt, BuildingAt: d.BuildingAt, Ready: d.ReadyAt,
		Meta: d.Meta, GitMetadata: d.Git, Version: 2, Type: "LAMBDAS", Regions: []string{}, Environment: d.Target, TraceID: d.ID.Span().Trace,
	}
	if d.ReadyAt != 0 {
		out.Duration = &duration{TimeToReady: d.ReadyAt - d.BuildingAt}
	}
	if d.AliasedAt != 0 {
		out.AliasAssigned = &d.AliasedAt
	}
	if out.Meta == nil {
		out.Meta = map[string]string{}
	}
	switch d.Target {
	case lateen.Production:
		out.Target = &d.Target
		switch {
		case d.SkipAliases && d.ServedAt == 0:
			out.ReadySubstate = "STAGED"
		case d.SkipAliases:
			out.ReadySubstate = "PROMOTED"
		}
	case lateen.Preview:
	default:
		env := environmentOf(d.Target)
		out.CustomEnvironment = &env
	}
	return out
}

// setProduction sets the fields of a deployment about its relation to production.
func (out *deployment) setProduction(d *lateen.Deployment, live bool) {
	out.Live, out.CanRollBack = live, !live && d.State == lateen.Ready && d.ServedAt != 0
}

// withAliases returns a deployment with its aliases.
func (a *API) withAliases(r *http.Request, d *lateen.Deployment) (*deployment, error) {
	out := a.wire(r, d)
	hosts, err := a.Control.AliasHosts(r.Context(), d.ID)
	if err != nil {
		return nil, err
	}
	team, err := a.Control.Team(r.Context(), string(d.Team))
	if err != nil {
		return nil, err
	}
	production, err := a.Control.Production(r.Context(), d.Project)
	if err != nil {
		return nil, err
	}
	out.Alias, out.Team.Slug = hosts, team.Slug
	out.setProduction(d, production == d.ID)
	return &out, nil
}

func (a *API) deploymentOf(r *http.Request, idOrHost string) (*deployment, error) {
	d, err := a.Control.Deployment(r.Context(), idOrHost)
	if err != nil {
		return nil, err
	}
	return a.withAliases(r, d)
}

// deployRequest is a request for a deployment of files, or of an earlier deployment.
type deployRequest struct {
	Name                      string                 `json:"name"`
	Project                   string                 `json:"project"`
	Target                    lateen.Environment     `json:"target"`
	CustomEnvironmentSlugOrID lateen.Environment     `json:"customEnvironmentSlugOrId"`
	DeploymentID              lateen.DeploymentID    `json:"deploymentId"` // redeploys the files of this deployment
	Files                     []lateen.UploadFile    `json:"files"`
	Env                       envMap                 `json:"env"`
	Meta                      map[string]string      `json:"meta"`
	GitMetadata               *lateen.GitMetadata    `json:"gitMetadata"`
	ProjectSettings           lateen.ProjectSettings `json:"projectSettings"`
	Source                    string                 `json:"source"`
	AutoAssignCustomDomains   *bool                  `json:"autoAssignCustomDomains"` // false: stage the deployment
	ConfigFields              []string               `json:"configFields"`            // names of the fields in vercel.json; absent: the fields of this object unknown to the API
}

// configFields returns the names of the fields in vercel.json. The vercel CLI sends
// the fields of that file among those of the request.
func (in *deployRequest) configFields(body []byte) []string {
	if in.ConfigFields != nil || len(in.Files) == 0 {
		return in.ConfigFields
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil
	}
	for field := range reflect.TypeFor[deployRequest]().Fields() {
		delete(fields, field.Tag.Get("json"))
	}
	for _, name := range []string{"actor", "gitSource", "monorepoManager", "manualProvisioning", "withLatestCommit"} { // fields of the request
		delete(fields, name)
	}
	return slices.Collect(maps.Keys(fields))
}

func createDeployment(a *API, w http.ResponseWriter, r *http.Request) error {
	body, done, err := a.bodies.read(r)
	if err != nil {
		return err
	}
	defer done()
	release, err := admit(r, a.deploys)
	if err != nil {
		return err
	}
	defer release()
	var in deployRequest
	if err := decodeBody(body, &in); err != nil {
		return err
	}
	request := control.DeployRequest{
		Project: in.Project, Target: in.Target, Files: in.Files, Prebuilt: flagOf(r, "prebuilt"), Config: in.configFields(body), From: in.DeploymentID,
		Settings: in.ProjectSettings, Env: in.Env, Meta: in.Meta, Git: in.GitMetadata, Source: in.Source,
		SkipAliases: in.AutoAssignCustomDomains != nil && !*in.AutoAssignCustomDomains,
	}
	if request.Project == "" {
		request.Project = in.Name
	}
	if in.CustomEnvironmentSlugOrID != "" {
		request.Target = in.CustomEnvironmentSlugOrID
	}
	d, err := a.Control.Deploy(r.Context(), request)
	if err != nil {
		return err
	}
	out, err := a.withAliases(r, d)
	if err != nil {
		return err
	}
	if site := out.SiteURL; site != "https://"+out.URL {
		w.Header().Set("X-Vercel-Notice-Site", "This platform serves it at "+site)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

type deploymentsReply struct {
	Deployments []deployment `json:"deployments"`
	Pagination  pagination   `json:"pagination"`
}

func listDeployments(a *API, r *http.Request, _ *none) (*deploymentsReply, error) {
	filter, err := deploymentFilter(r)
	if err != nil {
		return nil, err
	}
	rows, err := a.Control.Deployments(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	reply := &deploymentsReply{Deployments: make([]deployment, 0, len(rows))}
	live := make(map[lateen.ProjectID]lateen.DeploymentID)
	for _, row := range rows {
		if _, known := live[row.Project]; !known {
			if live[row.Project], err = a.Control.Production(r.Context(), row.Project); err != nil {
				return nil, err
			}
		}
		d := a.wire(r, row)
		d.setProduction(row, live[row.Project] == row.ID)
		reply.Deployments = append(reply.Deployments, d)
	}
	if n := len(rows); n > 0 {
		reply.Pagination = pageOf(n, filter.Limit, rows[0].CreatedAt, rows[n-1].CreatedAt)
	}
	return reply, nil
}

// searchableStates are the states in the filter for deployments. The vercel CLI also
// uses a state for deleted deployments, of which there are none here.
func searchableStates() []lateen.ReadyState {
	return []lateen.ReadyState{
		lateen.Queued, lateen.Initializing, lateen.Building, lateen.Deploying, lateen.Ready, lateen.Failed, lateen.Canceled, "DELETED",
	}
}

func deploymentFilter(r *http.Request) (store.DeploymentFilter, error) {
	query := r.URL.Query()
	filter := store.DeploymentFilter{
		Project: lateen.ProjectID(query.Get("projectId")), App: query.Get("app"),
		Target: lateen.Environment(query.Get("target")), Branch: query.Get("branch"),
	}
	var err error
	if filter.States, err = wordsOf[lateen.ReadyState](r, "state"); err != nil {
		return filter, err
	}
	for i, state := range filter.States {
		filter.States[i] = lateen.ReadyState(strings.ToUpper(string(state)))
		if !slices.Contains(searchableStates(), filter.States[i]) {
			return filter, lateen.ErrInvalid.With("state %.100q does not exist", state).WithHint("use READY, ERROR, BUILDING, QUEUED, INITIALIZING, DEPLOYING or CANCELED")
		}
	}
	if filter.Users, err = wordsOf[lateen.UserID](r, "users"); err != nil {
		return filter, err
	}
	for name, values := range query {
		if key, ok := strings.CutPrefix(name, "meta-"); ok && len(values) > 0 {
			if filter.Meta == nil {
				filter.Meta = make(map[string]string)
			}
			filter.Meta[key] = values[0]
		}
	}
	if filter.Limit, err = limitOf(r); err != nil {
		return filter, err
	}
	if filter.Since, err = millisOf(r, "since"); err != nil {
		return filter, err
	}
	for _, name := range []string{"until", "from"} {
		if filter.Until == 0 {
			if filter.Until, err = millisOf(r, name); err != nil {
				return filter, err
			}
		}
	}
	return filter, nil
}

func getDeployment(a *API, r *http.Request, _ *none) (*deployment, error) {
	return a.deploymentOf(r, r.PathValue("deployment"))
}

type deletedReply struct {
	UID   lateen.DeploymentID `json:"uid"`
	State string              `json:"state"`
}

func deleteDeployment(a *API, r *http.Request, _ *none) (*deletedReply, error) {
	d, err := a.Control.DeleteDeployment(r.Context(), r.PathValue("deployment"), flagOf(r, "safe"))
	if err != nil {
		return nil, err
	}
	return &deletedReply{UID: d.ID, State: "DELETED"}, nil
}

func cancelDeployment(a *API, r *http.Request, _ *none) (*deployment, error) {
	d, err := a.Control.Cancel(r.Context(), r.PathValue("deployment"))
	if err != nil {
		return nil, err
	}
	return a.withAliases(r, d)
}

type buildsReply struct {
	Builds []build `json:"builds"`
}

// build is the only build of a deployment.
type build struct {
	ID           string              `json:"id"`
	DeploymentID lateen.DeploymentID `json:"deploymentId"`
	Entrypoint   string              `json:"entrypoint"`
	ReadyState   lateen.ReadyState   `json:"readyState"`
	CreatedAt    lateen.Millis       `json:"createdAt"`
	ReadyStateAt lateen.Millis       `json:"readyStateAt,omitempty"`
	Output       []buildOutput       `json:"output"`

	Functions  int `json:"functions"`  // several paths may lead to one
	Routes     int `json:"routes"`     // number of routes in the route table
	Prerenders int `json:"prerenders"` // paths with cached pages
}

type buildOutput struct {
	Path   string       `json:"path"`
	Type   string       `json:"type"` // lambda, edge, file
	Size   int64        `json:"size,omitempty"`
	Lambda *buildLambda `json:"lambda,omitempty"`
}

type buildLambda struct {
	Runtime    string   `json:"runtime"`
	DeployedTo []string `json:"deployedTo"`
	MemorySize int      `json:"memorySize,omitempty"` // MiB
	Timeout    int      `json:"timeout,omitempty"`    // seconds
}

func listBuilds(a *API, r *http.Request, _ *none) (*buildsReply, error) {
	d, manifest, err := a.Control.Manifest(r.Context(), r.PathValue("deployment"))
	if err != nil {
		return nil, err
	}
	b := build{
		ID: "bld_" + strings.TrimPrefix(string(d.ID), "dpl_"), DeploymentID: d.ID, Entrypoint: ".",
		ReadyState: d.State, CreatedAt: d.BuildingAt, ReadyStateAt: d.ReadyAt, Output: []buildOutput{},
	}
	if manifest != nil {
		b.Output = outputsOf(manifest)
		b.Functions, b.Routes, b.Prerenders = len(manifest.Functions), len(manifest.Routes), len(manifest.Prerenders)
	}
	return &buildsReply{Builds: []build{b}}, nil
}

// outputsOf lists the outputs of a manifest by path, functions first.
func outputsOf(m *lateen.Manifest) []buildOutput {
	out := make([]buildOutput, 0, len(m.Outputs)+len(m.Files))
	for path, name := range m.Outputs {
		fn := m.Functions[name]
		kind := "lambda"
		if fn.Edge() {
			kind = "edge"
		}
		out = append(out, buildOutput{Path: strings.TrimPrefix(path, "/"), Type: kind, Lambda: &buildLambda{
			Runtime: fn.Runtime, DeployedTo: []string{}, MemorySize: fn.Memory, Timeout: max(0, fn.MaxDuration),
		}})
	}
	for path, file := range m.Files {
		out = append(out, buildOutput{Path: strings.TrimPrefix(path, "/"), Type: "file", Size: file.Size})
	}
	slices.SortFunc(out, func(a, b buildOutput) int {
		if (a.Lambda == nil) != (b.Lambda == nil) {
			return strings.Compare(b.Type, a.Type) // only separates "lambda" and "edge" from "file"
		}
		return strings.Compare(a.Path, b.Path)
	})
	return out
}

type checksReply struct {
	Checks []none `json:"checks"`
}

func listChecks(a *API, r *http.Request, _ *none) (*checksReply, error) {
	_, err := a.Control.Deployment(r.Context(), r.PathValue("deployment"))
	return &checksReply{Checks: []none{}}, err
}

type checkRunsReply struct {
	Runs []none `json:"runs"`
}

func listCheckRuns(a *API, r *http.Request, _ *none) (*checkRunsReply, error) {
	_, err := a.Control.Deployment(r.Context(), r.PathValue("deployment"))
	return &checkRunsReply{Runs: []none{}}, err
}

// promotion is the reply to a promotion: done, or pending until a deployment is
// ready.
type promotion struct {
	*deployment

	waits bool
}

func (p promotion) status() int {
	if p.waits {
		return http.StatusAccepted
	}
	return http.StatusCreated
}

func promote(a *API, r *http.Request, _ *none) (*promotion, error) {
	d, err := a.Control.Promote(r.Context(), r.PathValue("project"), r.PathValue("deployment"))
	if err != nil {
		return nil, err
	}
	out, err := a.withAliases(r, d)
	return &promotion{deployment: out, waits: d.State != lateen.Ready}, err
}

func rollback(a *API, r *http.Request, _ *none) (*promotion, error) {
	d, err := a.Control.Rollback(r.Context(), r.PathValue("project"), r.PathValue("deployment"))
	if err != nil {
		return nil, err
	}
	out, err := a.withAliases(r, d)
	return &promotion{deployment: out}, err
}

type movesReply struct {
	Aliases    []move     `json:"aliases"`
	Pagination pagination `json:"pagination"`
}

// move is the result of a promotion or rollback for an alias.
type move struct {
	ID     lateen.AliasID `json:"id"`
	Status string         `json:"status"` // completed
	Alias  movedAlias     `json:"alias"`
}

type movedAlias struct {
	Alias        string              `json:"alias"`
	DeploymentID lateen.DeploymentID `json:"deploymentId"`
}

func listMoves(a *API, r *http.Request, _ *none) (*movesReply, error) {
	p, err := a.Control.Project(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	reply := &movesReply{Aliases: []move{}}
	if flagOf(r, "failedOnly") || p.LastAliasRequest == nil {
		return reply, nil // either all aliases move or none
	}
	rows, err := a.Control.Aliases(r.Context(), store.AliasFilter{Deployment: p.LastAliasRequest.To})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		reply.Aliases = append(reply.Aliases, move{
			ID: row.ID, Status: "completed", Alias: movedAlias{Alias: row.Host, DeploymentID: row.Deployment},
		})
	}
	return reply, nil
}
