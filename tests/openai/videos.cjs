// Videos through the official Node client. See README.md.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const OpenAI = require('openai');

const { MODELROW_URL: baseURL, MODELROW_KEY: apiKey, MODELROW_LIMITED_KEY: limitedKey, MODELROW_PICTURE: picture } = process.env;

// How often the client asked.
let asked = 0;
const counting = (url, init) => {
  asked += 1;
  return fetch(url, init);
};
const open = (key) => new OpenAI({ baseURL, apiKey: key, organization: 'org-1', project: 'proj-1', timeout: 60_000, fetch: counting });
const client = open(apiKey);

// The call is refused with this very error of the client, which is not sent again.
async function refused(kind, call, want) {
  asked = 0;
  const error = await call().then(() => null, (error) => error);
  assert.equal(error?.constructor, kind, String(error));
  for (const [name, value] of Object.entries(want)) assert.equal(error[name], value, String(error));
  assert.ok(error.requestID && error.message, String(error));
  assert.equal(asked, 1, `sent again: ${error}`);
}

// The client's own `create_and_poll` is Python's.
async function ended(video) {
  for (;;) {
    const { data, response } = await client.videos.retrieve(video.id).withResponse();
    if (data.status === 'completed' || data.status === 'failed') return data;
    assert.ok(Number(response.headers.get('openai-poll-after-ms')) > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const bytes = async (response) => Buffer.from(await response.arrayBuffer());
const ids = async (pages) => {
  const found = [];
  for await (const video of pages) found.push(video.id);
  return found;
};

const tests = {
  async a_video_is_created_downloaded_and_deleted() {
    const video = await ended(await client.videos.create({ model: 'film-1', prompt: 'a cat', seconds: '8', size: '1280x720' }));
    const shown = [video.status, video.progress, video.object, video.model, video.seconds, video.size, video.error];
    assert.deepEqual(shown, ['completed', 100, 'video', 'film-1', '8', '1280x720', null]);
    assert.equal((await bytes(await client.videos.downloadContent(video.id))).subarray(4, 8).toString(), 'ftyp');
    assert.equal((await bytes(await client.videos.downloadContent(video.id, { variant: 'thumbnail' }))).subarray(0, 4).toString(), 'RIFF');
    await refused(OpenAI.NotFoundError, () => client.videos.downloadContent(video.id, { variant: 'spritesheet' }), { code: 'variant_not_found' });
    assert.deepEqual({ ...(await client.videos.delete(video.id)) }, { id: video.id, object: 'video.deleted', deleted: true });
    await refused(OpenAI.NotFoundError, () => client.videos.retrieve(video.id), { code: 'video_not_found' });
  },

  async a_picture_may_be_a_file_or_an_address_and_the_body_json() {
    const image_url = `data:image/png;base64,${fs.readFileSync(picture).toString('base64')}`;
    const call = { model: 'film-1', prompt: 'a picture' };
    const made = [
      await client.videos.create({ ...call, input_reference: fs.createReadStream(picture) }),
      await client.videos.create({ ...call, input_reference: { image_url } }),
      await client.post('/videos', { body: { ...call, seconds: '4', input_reference: { image_url } } }),
    ];
    for (const video of made) assert.equal((await ended(video)).status, 'completed');
  },

  async a_remix_is_made_from_a_video() {
    const video = await ended(await client.videos.create({ model: 'film-1', prompt: 'a dog' }));
    const remix = await client.videos.remix(video.id, { prompt: 'a dog with a hat' });
    assert.equal(remix.remixed_from_video_id, video.id);
    assert.equal((await ended(remix)).status, 'completed');
    const plain = await ended(await client.videos.create({ model: 'reel-1', prompt: 'a cow' }));
    await refused(OpenAI.BadRequestError, () => client.videos.remix(plain.id, { prompt: 'x' }), { code: 'remix_not_supported' });
  },

  async videos_are_listed_page_by_page() {
    const newest = await ids(client.videos.list({ limit: 2 }));
    const oldest = await ids(client.videos.list({ limit: 2, order: 'asc' }));
    assert.ok(newest.length > 4 && new Set(newest).size === newest.length);
    assert.deepEqual(newest, oldest.reverse());
    const page = await client.videos.list({ limit: 2 });
    assert.deepEqual([page.data.length, page.has_more, page.last_id], [2, true, newest[1]]);
  },

  async a_job_that_goes_on_has_no_content_and_stays() {
    const video = await client.videos.create({ model: 'film-1', prompt: 'slowly' });
    await refused(OpenAI.BadRequestError, () => client.videos.downloadContent(video.id), { code: 'video_not_ready' });
    await refused(OpenAI.ConflictError, () => client.videos.delete(video.id), {});
  },

  async errors_are_the_clients_typed_errors() {
    const create = (body, options) => client.videos.create({ prompt: 'x', ...body }, options);
    await refused(OpenAI.AuthenticationError, () => open('mrk_wrong').models.list(), { code: 'invalid_api_key', type: 'invalid_request_error' });
    await refused(OpenAI.RateLimitError, () => open(limitedKey).videos.create({ prompt: 'x' }), { code: 'insufficient_quota' });
    await refused(OpenAI.BadRequestError, () => create({ secnds: '8' }), { param: 'secnds', code: 'unknown_parameter' });
    await refused(OpenAI.BadRequestError, () => create({ model: 'film-1', seconds: '5' }), { param: 'seconds', code: 'invalid_value' });
    await refused(OpenAI.NotFoundError, () => create({ model: 'none' }), { param: 'model', code: 'model_not_found' });
    const headers = { 'Idempotency-Key': 'one key' };
    const video = await create({}, { headers });
    assert.equal((await create({}, { headers })).id, video.id);
    await refused(OpenAI.ConflictError, () => create({ prompt: 'y' }, { headers }), {});
    const failed = await ended(await create({ prompt: 'spongebob' }));
    assert.deepEqual([failed.status, failed.error.code], ['failed', 'moderated']);
  },

  async the_models_are_listed() {
    const found = await ids(client.models.list());
    assert.ok(found.includes('film-1') && found.includes('reel-1'), String(found));
    assert.equal((await client.models.retrieve('film-1')).owned_by, 'film');
  },

  async an_answer_that_is_lost_makes_no_second_run() {
    asked = 0;
    const video = await client.videos.create({ model: 'film-1', prompt: 'CUT node' });
    const file = fs.readFileSync(picture);
    const input_reference = await OpenAI.toFile(file, 'cat.png', { type: 'image/png' });
    const with_file = await client.videos.create({ model: 'film-1', prompt: 'CUT node, with a file', input_reference });
    assert.equal(asked, 4);
    for (const made of [video, with_file]) assert.equal((await ended(made)).status, 'completed');
    const twice = [];
    for (let i = 0; i < 2; i += 1) twice.push((await client.videos.create({ model: 'film-1', prompt: 'twice, node' })).id);
    assert.notEqual(twice[0], twice[1]);
  },
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    await test();
    console.log('ok', name);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
