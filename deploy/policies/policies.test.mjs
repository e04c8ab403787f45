// What the shipped admission policies let through, by an evaluator of CEL that is not the API server's own.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Environment } from '@marcbachmann/cel-js'
import { parseAllDocuments } from 'yaml'

const read = (file) => parseAllDocuments(readFileSync(new URL(`../kubernetes/${file}`, import.meta.url), 'utf8')).map((it) => it.toJS())
const find = (file, kind, name) => read(file).find((it) => it.kind === kind && it.metadata.name === name)
const env = new Environment({ enableOptionalTypes: true, unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })

const OURS = 'system:serviceaccount:poolkeeper-system:poolkeeper'

function variables(spec, given) {
  const known = { ...given, variables: {} }
  for (const { name, expression } of spec.variables ?? []) known.variables[name] = env.evaluate(expression, known)
  return known
}

/** Messages of the rules that refuse a request; an error refuses too, since the policies fail closed. */
function refusals(name, given, file = 'admission.yaml') {
  const { spec } = find(file, 'ValidatingAdmissionPolicy', name)
  assert.equal(spec.failurePolicy, 'Fail')
  const matches = (spec.matchConditions ?? []).every(({ expression }) => env.evaluate(expression, given) === true)
  if (!matches) return []
  const known = variables(spec, given)
  return spec.validations
    .filter(({ expression }) => {
      try {
        return env.evaluate(expression, known) !== true
      } catch {
        return true
      }
    })
    .map(({ message }) => message)
}

const POOL_TAINT = { key: 'poolkeeper.io/pool', value: 'a', effect: 'NoSchedule' }
const node = (pool, epoch, more = {}) => ({
  metadata: {
    name: 'n',
    labels: { 'kubernetes.io/arch': 'amd64', ...(pool && { 'poolkeeper.io/pool': pool, 'poolkeeper.io/node': 'os-1' }), ...more.labels },
    annotations: { ...(epoch && { 'poolkeeper.io/epoch': String(epoch) }) },
  },
  spec: { taints: more.taints ?? (pool ? [POOL_TAINT] : []), ...more.spec },
})

const claims = (user, oldObject, object, fence = { data: { epoch: '7' } }) =>
  refusals('poolkeeper-node-claims', { object, oldObject, request: { userInfo: { username: user } }, params: fence })

const ONLY_WE = "only poolkeeper may change the marks of a pool's node"
const THROUGH_RELEASE = 'a node changes pools only through release'
const STALE_OBJECT = 'stale epoch (object)'
const STALE_FENCE = 'stale epoch (fence)'

for (const [what, user, before, after, expected] of [
  ['a claim in time', OURS, node(null, null), node('a', 7), []],
  ['a claim after another pool', OURS, node(null, 6), node('b', 7), []],
  ['a claim without an epoch', OURS, node(null, null), node('a', null), [STALE_FENCE]],
  ['a claim by an older holder', OURS, node(null, null), node('a', 6), [STALE_FENCE]],
  ['a write behind the node', OURS, node('a', 9), node('a', 8, { labels: { team: 'x' } }), [STALE_OBJECT]],
  ['stealing a node', OURS, node('a', 7), node('b', 7), [THROUGH_RELEASE]],
  ['a release', OURS, node('a', 7), node(null, 7), []],
  ['a release without an epoch', OURS, node('a', 7), node(null, null), [STALE_OBJECT, STALE_FENCE]],
  ['the label of the pool, by a stranger', 'jane', node('a', 7), node(null, 7), [ONLY_WE]],
  ['the name of the node, by a kubelet', 'system:node:n', node('a', 7), node('a', 7, { labels: { 'poolkeeper.io/node': 'os-2' } }), [ONLY_WE]],
  ['the taint, by a stranger', 'jane', node('a', 7), node('a', 7, { taints: [] }), [ONLY_WE]],
  ['the epoch, by a stranger', 'jane', node('a', 7), node('a', 9), [ONLY_WE]],
  ['a claim by a stranger', 'jane', node(null, null), node('a', null), [ONLY_WE]],
  ['registration with a mark', 'system:node:n', null, node('a', null), [ONLY_WE]],
  ['registration without', 'system:node:n', null, node(null, null), []],
  ['a stranger\'s own label', 'jane', node('a', 7), node('a', 7, { labels: { team: 'x' } }), []],
  ['a stranger\'s own taint', 'jane', node('a', 7), node('a', 7, { taints: [POOL_TAINT, { key: 'site', effect: 'NoSchedule' }] }), []],
  ['a cordon', 'jane', node('a', 7), node('a', 7, { spec: { unschedulable: true } }), []],
  ['a node that is nobody\'s', 'jane', node(null, 7), node(null, null), []],
]) {
  test(`a node: ${what}`, () => assert.deepEqual(claims(user, before, after), expected))
}

test('a fence without a number refuses our claims and nobody else', () => {
  assert.deepEqual(claims(OURS, node(null, null), node('a', 7), { metadata: {} }), [STALE_FENCE])
  assert.deepEqual(claims('jane', node('a', 7), node('a', 7, { labels: { team: 'x' } }), { metadata: {} }), [])
})

const machine = (pool, epoch, more = {}) => ({
  metadata: {
    name: 'os-1',
    labels: { 'cluster.x-k8s.io/cluster-name': 'site', ...(pool && { 'poolkeeper.io/pool': pool, 'poolkeeper.io/node': 'os-1' }), ...more.labels },
    annotations: { ...(epoch && { 'poolkeeper.io/epoch': String(epoch), 'poolkeeper.io/order': '{}' }), ...more.annotations },
  },
  spec: { clusterName: 'site', ...more.spec },
})
const HOOK = 'pre-drain.delete.hook.machine.cluster.x-k8s.io/poolkeeper'
const CAPI = 'system:serviceaccount:capi-system:capi-manager'
const ONLY_WE_MACHINES = "only poolkeeper may change the marks of a pool's machine"
const machines = (user, oldObject, object, fence = { data: { epoch: '7' } }) =>
  refusals('poolkeeper-machines', { object, oldObject, request: { userInfo: { username: user } }, params: fence }, 'provisioning.yaml')

for (const [what, user, before, after, expected] of [
  ['made in time', OURS, null, machine('a', 7), []],
  ['made by an older holder', OURS, null, machine('a', 6), [STALE_FENCE]],
  ['made without an epoch', OURS, null, machine('a', null), [STALE_FENCE]],
  ['made with a mark by a stranger', 'jane', null, machine('a', 7), [ONLY_WE_MACHINES]],
  ['that is nobody\'s, made', 'jane', null, machine(null, null), []],
  ['given back in time', OURS, machine('a', 7), machine('a', 7, { annotations: { 'poolkeeper.io/action': '{}' } }), []],
  ['given back by an older holder', OURS, machine('a', 9), machine('a', 8, { annotations: { 'poolkeeper.io/action': '{}' } }), [STALE_OBJECT]],
  ['given back by a stranger', 'jane', machine('a', 7), machine('a', 7, { annotations: { 'poolkeeper.io/action': '{}' } }), [ONLY_WE_MACHINES]],
  ['that follows its node', OURS, machine('a', 7), machine('b', 7), []],
  ['whose pool a stranger changes', 'jane', machine('a', 7), machine('b', 7), [ONLY_WE_MACHINES]],
  ['whose order a stranger changes', 'jane', machine('a', 7), machine('a', 7, { annotations: { 'poolkeeper.io/order': '{"a":1}' } }), [ONLY_WE_MACHINES]],
  ['whose lock a stranger takes off', 'jane', machine('a', 7, { annotations: { [HOOK]: '' } }), machine('a', 7), []],
  ['that its controller writes to', CAPI, machine('a', 7), machine('a', 7, { spec: { providerID: 'x' } }), []],
]) {
  test(`a machine ${what}`, () => assert.deepEqual(machines(user, before, after), expected))
}

const pod = (spec) => ({ metadata: { name: 'p' }, spec })
const space = (labels) => ({ metadata: { name: 's', ...(labels && { labels }) } })
const pods = (labels, spec) => refusals('poolkeeper-pods', { object: pod(spec), oldObject: null, namespaceObject: space(labels) })
const OWN = { 'poolkeeper.io/pool-name': 'a' }
const toleration = (value, more = {}) => ({ key: 'poolkeeper.io/pool', value, effect: 'NoSchedule', ...more })

for (const [what, labels, spec, count] of [
  ['of no pool', undefined, {}, 0],
  ['of no pool, named node', undefined, { nodeName: 'n' }, 0],
  ['of no pool, other toleration', {}, { tolerations: [{ key: 'site', operator: 'Exists' }] }, 0],
  ['of no pool, toleration of the pool', {}, { tolerations: [toleration('a')] }, 1],
  ['of a pool', OWN, {}, 0],
  ['of a pool, its toleration', OWN, { tolerations: [toleration('a'), toleration('a', { operator: 'Equal' })] }, 0],
  ['of a pool, toleration of another', OWN, { tolerations: [toleration('b')] }, 1],
  ['of a pool, toleration of all', OWN, { tolerations: [{ key: 'poolkeeper.io/pool', operator: 'Exists' }] }, 1],
  ['of a pool, toleration of holds', OWN, { tolerations: [{ key: 'poolkeeper.io/hold', operator: 'Exists' }] }, 1],
  ['of a pool, named node', OWN, { nodeName: 'n' }, 1],
  ['of a pool that is being closed', { ...OWN, 'poolkeeper.io/closing': 'true' }, {}, 1],
  ['of a pool that is open, and says so', { ...OWN, 'poolkeeper.io/closing': 'false' }, {}, 0],
]) {
  test(`a pod ${what}`, () => assert.equal(pods(labels, spec).length, count))
}

/** The evaluator knows no types of patches: written as maps, they say the same. */
const asMaps = (expression) =>
  expression
    .replace(/JSONPatch\{|Object\.spec\.tolerations\{/g, '{')
    .replace(/([{,] ?)(op|path|value|key|operator|effect): /g, '$1"$2": ')
    .replace(/jsonpatch\.escapeKey\("poolkeeper\.io\/pool-name"\)/g, '"poolkeeper.io~1pool-name"')

function mutated(spec) {
  const { spec: policy } = find('mutating-admission.yaml', 'MutatingAdmissionPolicy', 'poolkeeper-pods')
  const object = pod(structuredClone(spec))
  for (const { jsonPatch } of policy.mutations) {
    const known = variables(policy, { object, namespaceObject: space(OWN) })
    for (const { op, path, value } of env.evaluate(asMaps(jsonPatch.expression), known)) {
      assert.equal(op, 'add')
      const keys = path.split('/').slice(1).map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
      const last = keys.pop()
      const place = keys.reduce((inner, key) => inner[key], object)
      if (last === '-') place.push(value)
      else place[last] = value
    }
  }
  return object.spec
}

const ADDED = { key: 'poolkeeper.io/pool', operator: 'Equal', value: 'a', effect: 'NoSchedule' }
for (const [what, spec, expected] of [
  ['without anything', {}, { nodeSelector: { 'poolkeeper.io/pool-name': 'a' }, tolerations: [ADDED] }],
  [
    'with selector and tolerations',
    { nodeSelector: { gpu: 'a100', 'poolkeeper.io/pool-name': 'b' }, tolerations: [{ key: 'site', operator: 'Exists' }] },
    { nodeSelector: { gpu: 'a100', 'poolkeeper.io/pool-name': 'a' }, tolerations: [{ key: 'site', operator: 'Exists' }, ADDED] },
  ],
]) {
  test(`a pod ${what} is sent to its pool, once`, () => {
    assert.deepEqual(mutated(spec), expected)
    assert.deepEqual(mutated(expected), expected)
    assert.deepEqual(pods(OWN, expected), [])
  })
}
