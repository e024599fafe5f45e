# As the manual has it: one header, each field with -d, the token cut out by hand.
token=$(curl -sS --request POST \
    --url "$TDX_HOST/auth/realms/TDXConnect/protocol/openid-connect/token" \
    --header 'content-type: application/x-www-form-urlencoded' \
    --header 'Accept-Encoding: br,gzip' \
    --data grant_type=client_credentials \
    --data client_id="$CLIENT_ID" \
    --data client_secret="$CLIENT_SECRET" |
    sed 's/.*"access_token":"//; s/".*//')
curl -sS --header "authorization: Bearer $token" "$API/api/transport/stops"
