// Who is calling: verifies the JSON Web Token of a request (RFC 7519) and gives nginx the values that it passes on to Ondol.
// Runs in the JavaScript module of nginx, from version 0.7.9 on, and knows nothing of rooms and messages.

import fs from 'fs';

// The headers of an identity, and the claims of a token that hold their values.
const CLAIMS = [
  { header: 'X-User-ID', claim: 'sub', required: true },
  { header: 'X-Nickname', claim: 'nickname', required: true },
  { header: 'X-Email', claim: 'email', required: true },
  { header: 'X-Profile-URL', claim: 'picture', required: false },
];
// The keys of an identity in a query. A client's own are taken out of it.
const QUERY_KEYS = ['user_id', 'nickname', 'email', 'profile_url'];
// The subprotocol that stands before a token: pages can set no other header of a WebSocket.
const SUBPROTOCOL = 'ondol.token';
// Seconds by which clocks may differ.
const LEEWAY_S = 30;
// What needs no token even where reading does: the chat page, and health.
const PUBLIC = /^\/($|page\.(css|js)$|page\/[a-z]+\.js$|healthz$|readyz$)/;

const ALGORITHMS = {
  HS256: { format: 'raw', name: { name: 'HMAC', hash: 'SHA-256' } },
  RS256: { format: 'spki', name: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } },
  ES256: { format: 'spki', name: { name: 'ECDSA', hash: 'SHA-256', namedCurve: 'P-256' } },
};

// ── what nginx calls ──

// The answer to `auth_request`: 204 with the identity in headers, 204 without for a request that needs none, or 401.
async function identify(r) {
  try {
    const token = tokenOf(r);
    if (token === null) {
      if (!isAnonymous(r)) throw refusal('a token is required', false);
    } else {
      const claims = await verify(token, r.variables);
      CLAIMS.forEach((value) => {
        const text = textOf(claims, value);
        if (text !== '') r.headersOut[value.header] = encodeURIComponent(text);
      });
    }
    r.return(204);
  } catch (error) {
    if (error.reason === undefined) {
      // A key that cannot be read, for example. nginx turns it into a 500.
      r.error(`ondol.js: ${error.message}`);
      r.return(500);
      return;
    }
    r.headersOut['X-Reason'] = error.reason;
    r.headersOut['WWW-Authenticate'] = error.given ? 'Bearer realm="chat", error="invalid_token"' : 'Bearer realm="chat"';
    r.return(401);
  }
}

// The path and the query as the client sent them, without an identity in the query.
function target(r) {
  const uri = r.variables.request_uri;
  const start = uri.indexOf('?');
  if (start < 0) return uri;
  const others = uri.slice(start + 1).split('&').filter((pair) => !QUERY_KEYS.includes(decoded(pair.split('=')[0])));
  return uri.slice(0, start) + (others.length ? `?${others.join('&')}` : '');
}

// The subprotocols that the client offers, without the token.
function protocols(r) {
  const offered = offers(r);
  return offered.filter((_, at) => at === 0 || offered[at - 1] !== SUBPROTOCOL).join(', ');
}

// ── the request ──

// The token of a request, or null. The same one may be in several places.
function tokenOf(r) {
  const found = [];
  values(r, 'authorization').forEach((value) => {
    const bearer = value.match(/^bearer +(.*)$/i);
    if (bearer) found.push(bearer[1].trim());
  });
  const offered = offers(r);
  offered.forEach((name, at) => {
    if (at > 0 && offered[at - 1] === SUBPROTOCOL) found.push(name);
  });
  const cookie = r.variables.jwt_cookie;
  values(r, 'cookie').join(';').split(';').forEach((pair) => {
    const equals = pair.indexOf('=');
    if (cookie && equals > 0 && pair.slice(0, equals).trim() === cookie) found.push(pair.slice(equals + 1).trim());
  });
  need(found.every((token) => token === found[0]), 'is given more than once');
  return found.length ? found[0] : null;
}

// Whether a request may go on without a token: it only reads, and Ondol lets everyone read.
function isAnonymous(r) {
  const reads = ['GET', 'HEAD', 'OPTIONS'].includes(r.variables.request_method) && !r.variables.http_upgrade;
  const path = r.variables.request_uri.split('?')[0];
  return reads && (r.variables.anonymous_reads === 'on' || PUBLIC.test(path));
}

function offers(r) {
  return values(r, 'sec-websocket-protocol').join(',').split(',').map((name) => name.trim()).filter((name) => name !== '');
}

// The values of a header, each as it came.
function values(r, name) {
  return r.rawHeadersIn.filter((header) => header[0].toLowerCase() === name).map((header) => header[1]);
}

// The name of a query's key, as Ondol reads it.
function decoded(name) {
  try {
    return decodeURIComponent(name.replace(/\+/g, ' '));
  } catch (error) {
    return name;
  }
}

// ── the token ──

// The claims of a token that one of the keys has signed and that holds now.
async function verify(token, settings) {
  const parts = token.split('.');
  const isToken = parts.length === 3 && parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part));
  need(isToken, 'is not a JSON Web Token');
  const header = json(parts[0]);
  need(header.crit === undefined, 'has critical parameters, and none is supported');
  // Each key has one algorithm, whatever the token asks for: "none" is the algorithm of no key.
  const fits = (key) => key.algorithm === header.alg && (header.kid === undefined || header.kid === key.id);
  const fitting = keys(settings.jwt_keys).filter(fits);
  const signed = Buffer.from(`${parts[0]}.${parts[1]}`);
  const signature = Buffer.from(parts[2], 'base64url');
  for (let i = 0; i < fitting.length; i++) {
    const algorithm = ALGORITHMS[fitting[i].algorithm];
    const key = await crypto.subtle.importKey(algorithm.format, bytes(fitting[i]), algorithm.name, false, ['verify']);
    if (await crypto.subtle.verify(algorithm.name, key, signature, signed)) return current(json(parts[1]), settings);
  }
  need(fitting.length === 0, 'has a wrong signature');
  throw refusal('the token was signed with an unknown key or algorithm', true);
}

// The claims, if they hold now and here.
function current(claims, settings) {
  const now = Date.now() / 1000;
  need(typeof claims.exp === 'number', 'has no exp');
  need(claims.exp + LEEWAY_S > now, 'has expired');
  need(claims.nbf === undefined || typeof claims.nbf === 'number', 'has a claim of the wrong type');
  need(claims.nbf === undefined || claims.nbf <= now + LEEWAY_S, 'is not valid yet');
  need(!settings.jwt_issuer || claims.iss === settings.jwt_issuer, 'is from another issuer');
  const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  need(!settings.jwt_audience || audience.includes(settings.jwt_audience), 'is for another audience');
  return claims;
}

// The text of a value. An id may be a whole number, as long as JavaScript can hold it exactly.
function textOf(claims, value) {
  const claim = claims[value.claim];
  if (typeof claim === 'string' && claim !== '') return claim;
  if (Number.isSafeInteger(claim) && claim >= 0) return String(claim);
  const isAbsent = claim === undefined || claim === null || claim === '';
  need(isAbsent && !value.required, `has no usable ${value.claim}`);
  return '';
}

// A part of a token: an object in JSON.
function json(part) {
  let object = null;
  try {
    object = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(part, 'base64url')));
  } catch (error) {
    // Not the error's own message: it may repeat what the token contains.
  }
  need(typeof object === 'object' && object !== null, 'is not a JSON Web Token');
  return object;
}

// The keys that are set: ID=ALGORITHM:FILE, separated by commas.
function keys(setting) {
  return setting.split(',').map((text) => {
    const parts = text.trim().match(/^([^=]+)=([A-Z0-9]+):(.+)$/);
    if (!parts || ALGORITHMS[parts[2]] === undefined) {
      throw new Error('$jwt_keys must be ID=HS256:FILE, ID=RS256:FILE or ID=ES256:FILE');
    }
    return { id: parts[1], algorithm: parts[2], file: parts[3] };
  });
}

// The bytes of a key. They are read for each token, so that a new file counts at once.
function bytes(key) {
  const content = read(key.file);
  if (key.algorithm !== 'HS256') {
    return Buffer.from(content.toString().replace(/-----[^-]+-----/g, '').replace(/\s+/g, ''), 'base64');
  }
  let end = content.length;
  if (content[end - 1] === 10) end--;
  if (content[end - 1] === 13) end--;
  if (end < 32) throw new Error(`${key.file}: a secret needs 32 bytes`);
  return content.subarray(0, end);
}

function read(file) {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    throw new Error(`${file}: ${error.message}`);
  }
}

// Refuses a token for which something does not hold.
function need(holds, why) {
  if (!holds) throw refusal(`the token ${why}`, true);
}

// A reason for a 401, without a value of the request. `given`: there was a token.
function refusal(reason, given) {
  const error = new Error(reason);
  error.reason = reason;
  error.given = given;
  return error;
}

export default { identify, target, protocols };
