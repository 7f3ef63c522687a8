// Chats, responses, pictures, speech, transcriptions and embeddings through the official Node client. See README.md.
'use strict';

const assert = require('node:assert/strict');
const OpenAI = require('openai');

const { MODELROW_URL: baseURL, MODELROW_KEY: apiKey, MODELROW_LIMITED_KEY: limitedKey } = process.env;

// How often the client asked.
let asked = 0;
const counting = (url, init) => {
  asked += 1;
  return fetch(url, init);
};
const open = (key) => new OpenAI({ baseURL, apiKey: key, organization: 'org-1', project: 'proj-1', timeout: 60_000, fetch: counting });
const client = open(apiKey);
const messages = [{ role: 'user', content: 'Hi' }];
const chat = (body) => client.chat.completions.create({ model: 'talk-1', messages, ...body });

// The call is refused with this very error of the client, which is not sent again.
async function refused(kind, call, want) {
  asked = 0;
  const error = await call().then(() => null, (error) => error);
  assert.equal(error?.constructor, kind, String(error));
  for (const [name, value] of Object.entries(want)) assert.equal(error[name], value, String(error));
  assert.ok(error.requestID && error.message, String(error));
  assert.equal(asked, 1, `sent again: ${error}`);
}

async function heard(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const bytes = async (response) => Buffer.from(await response.arrayBuffer());
const audio = () => OpenAI.toFile(Buffer.from('RIFF....WAVEfmt '), 'a.wav', { type: 'audio/wav' });

const tests = {
  async a_conversation_is_answered() {
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    const seen = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url } }] },
    ];
    for (const said of [messages, seen]) {
      const answer = await chat({ messages: said, temperature: 0.5, stop: ['END'], max_tokens: 9 });
      const { message, finish_reason } = answer.choices[0];
      assert.deepEqual([message.content, finish_reason, answer.usage.total_tokens, answer.model], ['Hello.', 'stop', 5, 'talk-1']);
      const more = await chat({ messages: [...said, message, { role: 'user', content: 'Why?' }] });
      assert.equal(more.choices[0].message.content, 'Hello.');
    }
  },

  async a_conversation_is_answered_as_a_stream() {
    const chunks = await heard(await chat({ stream: true, stream_options: { include_usage: true } }));
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, 'The cat plays the piano.');
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'length');
    assert.equal(chunks.at(-1).usage.total_tokens, 5);
    const helper = client.chat.completions.stream({ model: 'answer-1', messages });
    assert.equal(await helper.finalContent(), 'Hello.');
  },

  async a_response_is_made_at_once_and_as_a_stream() {
    const response = await client.responses.create({ model: 'talk-1', input: 'Hi', instructions: 'Be brief.', max_output_tokens: 9 });
    assert.deepEqual([response.output_text, response.status, response.usage.total_tokens], ['Hello.', 'completed', 5]);
    const input = [{ role: 'user', content: 'Hi' }, ...response.output, { role: 'user', content: 'Why?' }];
    assert.equal((await client.responses.create({ model: 'talk-1', input })).output_text, 'Hello.');
    const events = await heard(await client.responses.create({ model: 'talk-1', input: 'Hi', stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    assert.equal(events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta).join(''), 'The cat plays the piano.');
    assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.incomplete']);
    const final = await client.responses.stream({ model: 'answer-1', input: 'Hi' }).finalResponse();
    assert.equal(final.output_text, 'Hello.');
  },

  async a_fault_in_mid_stream_is_raised() {
    const streams = [() => chat({ model: 'talk-2', stream: true }), () => client.responses.create({ model: 'talk-2', input: 'Hi', stream: true })];
    for (const stream of streams) {
      let told = 0;
      const error = await (async () => {
        for await (const _ of await stream()) told += 1;
      })().then(() => null, (error) => error);
      assert.ok(error instanceof OpenAI.APIError && error.code === 'unknown_outcome', String(error));
      assert.ok(told > 0, 'the words before the fault were told');
    }
  },

  async pictures_speech_and_vectors_are_made() {
    const images = await client.images.generate({ model: 'paint-1', prompt: 'a cat', n: 2, size: '512x512' });
    for (const image of images.data) assert.equal(Buffer.from(image.b64_json, 'base64').subarray(1, 4).toString(), 'PNG');
    const linked = await client.images.generate({ model: 'paint-1', prompt: 'a cat', response_format: 'url' });
    assert.equal((await bytes(await fetch(linked.data[0].url))).subarray(1, 4).toString(), 'PNG', 'without a key');
    const speech = await client.audio.speech.create({ model: 'say-1', input: 'Hello', voice: 'ann', response_format: 'mp3' });
    assert.deepEqual([speech.headers.get('content-type'), (await bytes(speech)).toString()], ['audio/mpeg', 'ID3 and more']);
    const vectors = await client.embeddings.create({ model: 'embed-1', input: ['a', 'b'], dimensions: 2 });
    assert.deepEqual(vectors.data.map((vector) => Array.from(vector.embedding)), [[0.5, -2], [1, 0.25]]);
    assert.equal(vectors.usage.prompt_tokens, 4);
    const plain = await client.embeddings.create({ model: 'embed-1', input: 'a', encoding_format: 'float' });
    assert.deepEqual(plain.data[0].embedding, [0.5, -2]);
  },

  async audio_is_transcribed() {
    const create = async (body) => client.audio.transcriptions.create({ model: 'listen-1', file: await audio(), ...body });
    assert.equal((await create({ language: 'en', temperature: 0.2 })).text, 'Hello.');
    const verbose = await create({ response_format: 'verbose_json', timestamp_granularities: ['segment'] });
    assert.deepEqual([verbose.duration, verbose.language, verbose.segments[0].text], [1.5, 'en', 'Hello.']);
    assert.equal(await create({ response_format: 'text' }), 'Hello.\n');
    assert.match(await create({ response_format: 'srt' }), /^1\n00:00:00,000 --> 00:00:01,500\nHello\.\n/);
  },

  async errors_are_the_clients_typed_errors() {
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const bad = { type: 'invalid_request_error' };
    await refused(OpenAI.BadRequestError, () => chat({ n: 2 }), { ...bad, param: 'n', code: 'unknown_parameter' });
    await refused(OpenAI.BadRequestError, () => chat({ tools }), { ...bad, param: 'tools' });
    await refused(OpenAI.BadRequestError, () => chat({ temperature: 9 }), { ...bad, param: 'temperature', code: 'invalid_value' });
    await refused(OpenAI.NotFoundError, () => chat({ model: 'none' }), { param: 'model', code: 'model_not_found' });
    await refused(OpenAI.RateLimitError, () => open(limitedKey).embeddings.create({ model: 'embed-1', input: 'a' }), { code: 'insufficient_quota' });
    await refused(OpenAI.BadRequestError, () => client.images.generate({ model: 'paint-1', prompt: 'a', n: 9 }), { param: 'n' });
    await refused(OpenAI.BadRequestError, () => chat({ model: 'refuse-1' }), { code: 'invalid_request' });
    await refused(OpenAI.BadRequestError, () => chat({ model: 'refuse-1', stream: true }), { code: 'invalid_request' });
  },

  async an_answer_that_is_lost_makes_no_second_run() {
    asked = 0;
    const answer = await chat({ messages: [{ role: 'user', content: 'CUT node' }] });
    assert.equal(answer.choices[0].message.content, 'Hello.');
    const response = await client.responses.create({ model: 'talk-1', input: 'CUT node, a response' });
    assert.equal(response.output_text, 'Hello.');
    await client.embeddings.create({ model: 'embed-1', input: 'CUT node, a vector' });
    assert.equal(asked, 6);
  },

  async a_stream_may_be_left() {
    const stream = await chat({ model: 'talk-3', messages: [{ role: 'user', content: 'left, node' }], stream: true });
    for await (const _ of stream) break;
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
