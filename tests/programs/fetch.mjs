// Node: parameters as an object, the content type in the header and in the form, any answer.
const parameter = {
  'content-type': 'application/x-www-form-urlencoded',
  grant_type: 'client_credentials',
  client_id: process.env.CLIENT_ID,
  client_secret: process.env.CLIENT_SECRET,
};
const url = `${process.env.TDX_HOST}/auth/realms/TDXConnect/protocol/openid-connect/token`;
const answer = await fetch(url, {
  method: 'POST',
  headers: {
    'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
    accept: 'application/x-www-form-urlencoded',
    'accept-encoding': 'br,gzip',
  },
  body: new URLSearchParams(parameter).toString(),
});
const token = JSON.parse(await answer.text());
const data = await fetch(`${process.env.API}/api/transport/stops`, {
  headers: { authorization: 'Bearer ' + token.access_token },
});
console.log(await data.text());
