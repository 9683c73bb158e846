// The main job with a client made by openapi-typescript and openapi-fetch: import contacts, publish a workflow,
// tag 50 contacts, follow them to the goal. Usage: node main_job.js <base> <email> <password>
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
type Client = ReturnType<typeof createClient<paths>>;

const CONTACTS = 50;
const PATIENCE = 60_000; // ms that a worker may take
const RUN = randomUUID().slice(0, 8);
const STATES = ["CA", "NY", "TX", "LA", "MI"];

function ensure(condition: boolean, failure: string): asserts condition {
  if (!condition) throw new Error(failure);
}

/** The data of an answer, or an error with the problem. */
async function ok<Data>(answer: Promise<{ data?: Data; error?: unknown; response: Response }>): Promise<Data> {
  const { data, error, response } = await answer;
  ensure(response.ok && data !== undefined, `${response.status} ${response.url}: ${JSON.stringify(error)}`);
  return data;
}

/** Gets a page again and again until `done(page)`. */
async function until<Page>(what: string, get: () => Promise<Page>, done: (page: Page) => boolean): Promise<Page> {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const page = await get();
    if (done(page)) {
      console.log(what);
      return page;
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  throw new Error(`“${what}” did not happen`);
}

async function signIn(baseUrl: string, email: string, password: string): Promise<Client> {
  const anonymous = createClient<paths>({ baseUrl });
  const { token } = await ok(anonymous.POST("/sessions", { body: { email, password } }));
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
}

async function importContacts(client: Client): Promise<void> {
  const rows = Array.from({ length: 200 }, (_, n) => `First${n},p${n}@${RUN}.example.com,${STATES[n % 5]}`);
  const file = ["first_name,email,state", ...rows].join("\n");
  const { item } = await ok(
    client.POST("/imports", {
      body: { file },
      bodySerializer: () => {
        const form = new FormData();
        form.append("file", new Blob([file], { type: "text/csv" }), "people.csv");
        return form;
      },
    }),
  );
  const params = { path: { import_id: item.id } };
  const status = () => ok(client.GET("/imports/{import_id}", { params }));
  await ok(client.POST("/imports/{import_id}/mapping", { params, body: {} }));
  const checked = await until("checked", status, (page) => page.item.status === "ready");
  ensure(checked.item.new === rows.length && checked.item.bad === 0, "not every row is new");
  await ok(client.POST("/imports/{import_id}/run", { params }));
  await until("imported", status, (page) => page.item.status === "done");
}

async function buildWorkflow(client: Client): Promise<string> {
  const { workflow } = await ok(client.POST("/workflows", { body: { name: `Welcome ${RUN}` } }));
  const params = { path: { workflow_id: workflow.id } };
  const california: Schemas["Predicate"] = { type: "predicate", field: "state", op: "is", value: "CA" };
  const moved: Schemas["Predicate"] = { type: "predicate", field: "city", op: "is", value: `Goal ${RUN}` };
  const steps: [string, NonNullable<Schemas["InsertForm"]["config"]>][] = [
    ["main", { kind: "send_email", subject: `Welcome ${RUN}`, body: "Hi {{ contact.first_name }}." }],
    ["main", { kind: "wait", amount: 1, unit: "seconds" }],
    ["main", { kind: "branch", branches: [{ name: "California", filter: california }] }],
    ["lane", { kind: "add_tag", tag: `west-${RUN}` }],
    ["main", { kind: "goal", name: "Moved", filter: moved, on_unmet: "wait", amount: 30 }],
  ];
  let page = await ok(
    client.POST("/workflows/{workflow_id}/triggers", {
      params,
      body: {
        kind: "tag_added",
        config: { kind: "tag_added", tag: `vip-${RUN}` },
        rev: workflow.rev,
      },
    }),
  );
  for (const [list, config] of steps) {
    const lane = page.steps.flatMap((step) => step.lanes).at(0)?.list_id ?? "";
    const body = { kind: config.kind, list: list === "lane" ? lane : list, config, rev: page.workflow.rev };
    page = await ok(client.POST("/workflows/{workflow_id}/steps", { params, body }));
  }
  const plan = await ok(client.GET("/workflows/{workflow_id}/publication", { params }));
  ensure(plan.problems.length === 0, `the draft cannot be published: ${JSON.stringify(plan.problems)}`);
  const body = { rev: plan.workflow.rev };
  ensure((await ok(client.POST("/workflows/{workflow_id}/publication", { params, body }))).version === 1, "version");
  console.log("published");
  return workflow.id;
}

async function followContacts(client: Client, workflow_id: string): Promise<void> {
  const listed = await ok(
    client.GET("/contacts", { params: { query: { sort: "-created_at", limit: CONTACTS, f: ["email:not_empty"] } } }),
  );
  ensure("columns" in listed, "without `fields` it is the whole list");
  const ids = listed.items.map((contact) => contact.id);
  ensure(ids.length === CONTACTS, `the list has ${ids.length} contacts`);
  await ok(client.POST("/contacts/bulk/tags", { body: { ids, tag: `vip-${RUN}` } }));
  const workflow = () => ok(client.GET("/workflows/{workflow_id}", { params: { path: { workflow_id } } }));
  const count = (page: Schemas["Builder"], kind: string) => page.steps.find((step) => step.kind === kind)?.count;
  await until("all have the email", workflow, (page) => count(page, "send_email")?.completed === CONTACTS);
  await until("all wait for the goal", workflow, (page) => count(page, "goal")?.current === CONTACTS);
  for (const contact_id of ids) {
    const params = { path: { contact_id } };
    await ok(client.PATCH("/contacts/{contact_id}", { params, body: { city: `Goal ${RUN}` } }));
  }
  await until("all completed", workflow, (page) => page.totals.completed === CONTACTS);
}

async function expectProblem(client: Client): Promise<void> {
  const { error, response } = await client.POST("/tags", { body: { name: "" } });
  ensure(response.status === 422 && error?.errors?.name !== undefined, "an empty name is refused with a message");
}

const [base = "", email = "", password = ""] = process.argv.slice(2);
const client = await signIn(base, email, password);
await importContacts(client);
await followContacts(client, await buildWorkflow(client));
await expectProblem(client);
console.log("everything worked");
